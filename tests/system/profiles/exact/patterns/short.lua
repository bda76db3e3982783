-- SPDX-License-Identifier: MIT
-- Each thred has one timer and tells its sender when it fires.
local p = require "srvthreds.pattern"

return p.pattern "short" {
  limits = { wall = "60s" }, -- a busy machine ends none
  p.reaction "begin" {
    p.where { type = "test.short" } {
      on_true = function(event, thred) thred.event, thred.fired = event, 0 end,
    },
  },
  p.reaction "wait" {
    expiry = { after = "4s", transition = { name = "over", input = "local", local_name = "event" } },
    p.where { type = "test.never" } {},
  },
  p.reaction "over" {
    p.where { type = "test.short" } {
      on_true = function(_, thred) thred.fired = thred.fired + 1 end,
      transform = { title = "fired" },
      publish = function(event) return event.source.id end,
      transition = "$noTransition",
    },
  },
}
