-- SPDX-License-Identifier: MIT
-- A simulated sensor: it reports a detection at a fixed interval, from a fixed list of positions.

local agent = require "srvthreds.agent"

local readings = config.readings or {
  { latitude = 33.4484, longitude = -112.0740, altitude = 331 },
  { latitude = 33.4510, longitude = -112.0695, altitude = 333 },
  { latitude = 33.4457, longitude = -112.0803, altitude = 330 },
}
local n = 0

return agent.agent "org.wt.sensor" {
  name = "Sensor",
  every = { config.interval or "15s", function(a)
    n = n + 1
    a:send { type = "org.wt.sensor.detectionEvent", values = readings[(n - 1) % #readings + 1] }
  end, first = config.first or "2s" },
}
