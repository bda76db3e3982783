-- SPDX-License-Identifier: MIT
-- Somebody says hello; everybody is told, and the first who answers ends it. Change a title, save, say hello again.
local p = require "srvthreds.pattern"

return p.pattern "Hello" {
  p.reaction "greet" {
    p.where { type = "hello" } {
      on_true = function(event, thred) thred.who = event.source.id end,
      transform = {
        title = function(_, thred) return thred.who .. " says hello" end,
        advice = { eventType = "org.wt.client.tell", title = "Say hello back" },
      },
      publish = { to = "$everyone", name = "hello" },
    },
  },

  p.reaction "answer" {
    allowed_sources = "$everyone",
    expiry = { after = "1h", transition = "$terminate" },
    p.where { type = "org.wt.client.tell", re = p.answer_to "hello" } {
      transform = { title = function(event) return event.source.id .. " says hello back" end },
      publish = "$thred",
      transition = "$terminate",
    },
  },
}
