-- SPDX-License-Identifier: MIT
-- As the killer, but nobody's event is to blame: its time is over.
local p = require "srvthreds.pattern"

return p.pattern "Late killer" {
  limits = { cpu = "60s", wall = "60s" },
  p.reaction "wait" {
    p.where { type = "bad.wait" } { on_true = function(event, thred) thred.kept = event end, transition = "hold" },
  },
  p.reaction "hold" {
    expiry = { after = "1s", transition = { name = "run", input = "local", local_name = "kept" } },
    p.where { type = "bad.nothing" } {},
  },
  p.reaction "run" {
    p.where { type = "bad.wait" } { on_true = function() while true do end end }, -- BAD late
  },
}
