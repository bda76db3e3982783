-- SPDX-License-Identifier: MIT
-- Takes its time over each event, so that a test can send more than can be done.
local p = require "srvthreds.pattern"

return p.pattern "Heavy" {
  limits = { cpu = "60s", wall = "60s" }, -- on any machine
  p.reaction "begin" {
    p.where { type = "heavy.begin" } { on_true = function(_, thred) thred.count = 0 end },
  },
  p.reaction "count" {
    p.where { type = "heavy.add" } {
      on_true = function(event, thred)
        for _ = 1, 300000 * (event:value "times" or 1) do end
        thred.count = thred.count + 1
      end,
      transition = "$noTransition",
    },
  },
}
