-- SPDX-License-Identifier: MIT
-- Sends its sender what it gets, counting; "stop" ends it.
local p = require "srvthreds.pattern"

local function count(_, thred) thred.n = (thred.n or 0) + 1 end

local echo = {
  title = function(_, thred) return "echo " .. thred.n end,
  content = { values = function(event, thred) return { n = thred.n, values = event.values } end },
  re = function(event) return event.id end,
}

return p.pattern "Echo" {
  p.reaction "begin" {
    p.where { type = "echo" } {
      on_true = count, transform = echo, publish = function(event) return event.source.id end,
    },
  },

  p.reaction "again" {
    p.any {
      p.where { type = "echo" } {
        on_true = count, transform = echo, publish = function(event) return event.source.id end,
        transition = "$noTransition",
      },
      p.where { type = "stop" } { transition = "$terminate" },
    },
  },
}
