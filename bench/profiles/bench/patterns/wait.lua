-- SPDX-License-Identifier: MIT
-- Waits for an hour, unless it is asked to go on.
local p = require "srvthreds.pattern"

return p.pattern "Wait" {
  p.reaction "begin" {
    p.where { type = "wait.begin" } {
      on_true = function(event, thred) thred.place = event:value "place" end,
    },
  },
  p.reaction "wait" {
    expiry = { after = "1h", transition = "$terminate" },
    p.where { type = "wait.on" } {
      on_true = function(_, thred) thred.n = (thred.n or 0) + 1 end,
      transition = "$noTransition",
    },
  },
}
