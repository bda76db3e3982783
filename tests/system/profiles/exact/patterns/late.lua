-- SPDX-License-Identifier: MIT
-- Takes its time over one event, so that the next one is accepted in time and processed too late for its timer.
local p = require "srvthreds.pattern"

return p.pattern "Late" {
  limits = { cpu = "60s", wall = "60s" },
  p.reaction "begin" {
    p.where { type = "test.late" } {},
  },
  p.reaction "wait" {
    expiry = { after = "2s", transition = "over" },
    p.any {
      p.where { type = "test.slow" } {
        on_true = function() for _ = 1, 4e7 do end end,
        transition = "$noTransition",
      },
      p.where { type = "test.in_time" } { transition = "done" },
    },
  },
  p.reaction "done" { p.where { type = "test.never" } {} },
  p.reaction "over" { p.where { type = "test.never" } {} },
}
