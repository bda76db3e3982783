-- SPDX-License-Identifier: MIT
-- Each operand is a mistake of its own; the tests look for the line that says BAD and the name behind it.
local p = require "srvthreds.pattern"

local function forever(n) return 1 + forever(n + 1) end -- BAD recursion

return p.pattern "Bad" {
  p.reaction "wait" {
    p.where { type = "bad.begin" } {},
  },
  p.reaction "fail" {
    p.any {
      p.where { type = "bad.error" } {
        on_true = function(event) return event.values.no.such end, -- BAD error
      },
      p.where { type = "bad.loop" } {
        on_true = function() while true do end end, -- BAD loop
      },
      p.where { type = "bad.pcall" } {
        on_true = function() while true do pcall(function() while true do end end) end end, -- BAD pcall
      },
      p.where { type = "bad.coroutine" } {
        on_true = function() coroutine.wrap(function() while true do end end)() end, -- BAD coroutine
      },
      p.where { type = "bad.recursion" } { on_true = function() forever(1) end },
      p.where { type = "bad.memory" } {
        on_true = function() local t = {} repeat t[#t + 1] = {} until t[0] end, -- BAD memory
      },
      p.where { type = "bad.find" } {
        on_true = function() return (("a"):rep(1e5)):find((".-"):rep(12) .. "b") end, -- BAD find
      },
      p.where { type = "bad.rep" } {
        on_true = function() return ("x"):rep(8 << 30) end, -- BAD rep
      },
      p.where { type = "bad.local" } {
        on_true = function(_, thred) thred.f = function() end end, -- BAD local
      },
    },
  },
}
