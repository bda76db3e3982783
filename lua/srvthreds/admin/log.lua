-- SPDX-License-Identifier: MIT
-- The levels of the log, while it runs.

local logs = require "core.log"
local api = require "srvthreds.admin.api"
local log_levels = require "srvthreds.log_levels"

local log = logs.logger { module = "admin" }

local function set(admin, call)
  local level, before = api.text(call, "level"), logs.levels()
  log_levels.set(level)
  log.info("log level set", { level_set = level, who = call.who })
  admin:audit(call, { what = "log.level", target = level, before = { level = before }, after = { level = level } })
  return { level = logs.levels() }
end

return {
  { "GET", "/api/log", function() return { level = logs.levels() } end },
  { "POST", "/api/log", set, body = { "level" } },
}
