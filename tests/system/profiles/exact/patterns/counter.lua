-- SPDX-License-Identifier: MIT
-- Counts what it gets, notes events of one source that come out of order, spawns, asks a service, and expires.
local p = require "srvthreds.pattern"

local function add(event, thred)
  thred.count = thred.count + 1
  local last = thred.last[event.source.id] or 0
  local seq = event:value "seq"
  if seq <= last then thred.inversions = thred.inversions + 1 end
  thred.last[event.source.id] = seq
end

return p.pattern "Counter" {
  limits = { wall = "60s" }, -- a busy machine ends none
  p.reaction "begin" {
    p.where { type = "test.begin" } {
      on_true = function(_, thred)
        thred.count, thred.inversions, thred.answers, thred.last = 0, 0, 0, {}
      end,
      transform = { title = "begun" },
      publish = function(event) return event.source.id end,
    },
  },
  p.reaction "count" {
    p.any {
      p.where { type = "test.add" } {
        on_true = add,
        transform = { title = "added", content = { values = function(event, thred)
          return { n = thred.count, seq = event:value "seq" }
        end } },
        publish = function(event) return { event.source.id, "$watchers" } end,
        transition = "$noTransition",
      },
      p.where { type = "test.spawn" } {
        spawn = { names = "Timed", type = "sibling" },
        transition = "$noTransition",
      },
      p.where { type = "test.ask" } {
        transform = { content = { tasks = function(event)
          return { { name = "echo", op = "run", params = { values = { n = event:value "seq" } } } }
        end } },
        publish = { to = "org.test.echo", name = "asked" },
        transition = "$noTransition",
      },
      p.where { type = "org.test.echo" } {
        on_true = function(_, thred) thred.answers = thred.answers + 1 end,
        transition = "$noTransition",
      },
    },
  },
}
