-- SPDX-License-Identifier: MIT
-- Allowed to run so long that whoever kills the process hits it.
local p = require "srvthreds.pattern"

return p.pattern "Killer" {
  limits = { cpu = "60s", wall = "60s" },
  p.reaction "run" {
    p.where { type = "bad.kill" } { on_true = function() while true do end end }, -- BAD kill
  },
}
