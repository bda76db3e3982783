-- SPDX-License-Identifier: MIT
-- Counts what it gets; nobody is told.
local p = require "srvthreds.pattern"

return p.pattern "Count" {
  p.reaction "begin" { p.where { type = "count.begin" } {} },
  p.reaction "count" {
    p.where { type = "count" } {
      on_true = function(event, thred) thred.n = (thred.n or 0) + event:value "by" end,
      transition = "$noTransition",
    },
  },
}
