-- SPDX-License-Identifier: MIT
-- Passes on what it gets from p<i> to p<i+1>, and from the last one to the first.
local p = require "srvthreds.pattern"

local function next_one(event)
  return "p" .. (tonumber(event.source.id:sub(2)) + 1) % 64
end

return p.pattern "Relay" {
  p.reaction "begin" { p.where { type = "relay.begin" } {} },
  p.reaction "relay" {
    p.where { type = "relay" } {
      on_true = function(_, thred) thred.n = (thred.n or 0) + 1 end,
      transform = {
        title = "Passed on",
        content = { values = function(event, thred) return { n = thred.n, sent = event:value "sent" } end },
      },
      publish = next_one,
      transition = "$noTransition",
    },
  },
}
