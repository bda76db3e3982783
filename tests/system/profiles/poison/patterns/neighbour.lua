-- SPDX-License-Identifier: MIT
-- Answers each event at once and counts them.
local p = require "srvthreds.pattern"

return p.pattern "Neighbour" {
  p.reaction "begin" {
    p.where { type = "test.begin" } { on_true = function(_, thred) thred.count = 0 end },
  },
  p.reaction "count" {
    p.where { type = "test.add" } {
      on_true = function(_, thred) thred.count = thred.count + 1 end,
      transform = { title = "added", re = function(event) return event.id end },
      publish = function(event) return event.source.id end,
      transition = "$noTransition",
    },
  },
}
