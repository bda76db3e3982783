-- SPDX-License-Identifier: MIT
-- Each event is a thred: its tasks go to the persistence agent, what that answers goes to the sender.
local p = require "srvthreds.pattern"

return p.pattern "Stores" {
  p.reaction "ask" {
    p.where { type = "test.store" } {
      on_true = function(event, thred) thred.by = event.source.id end,
      transform = { content = { tasks = function(event) return event:value "tasks" end } },
      publish = { to = "org.wt.persistence1", name = "tasks" },
    },
  },
  p.reaction "answered" {
    p.where { type = "org.wt.persistence" } {
      transform = { title = "stored", content = { values = function(event) return event.content.values end } },
      publish = function(_, thred) return thred.by end,
      transition = "$terminate",
    },
  },
}
