-- SPDX-License-Identifier: MIT
-- The model, §§2–5: bound and unbound events, conditions, directives, transitions.
local t = require "srvthreds.spec"
local json = require "core.json"
local world = require "world"

local COUNT = [[p.pattern "Count" {
  broadcast_allowed = true, echo_responses = true,
  p.reaction "first" {
    p.where { type = "begin" } {
      on_true = function(event, thred) thred.n = event:value "n" or 0 end,
      transform = { title = "Begun", content = { values = function(event, thred) return { n = thred.n } end } },
      publish = { to = { "$group0", { "cid" } }, name = "q" },
    },
  },
  p.reaction "count" {
    p.any {
      p.where { type = "add" } {
        on_true = function(event, thred) thred.n = thred.n + (event:value "by" or 1) end,
        transform = { title = function(event, thred) return "n is " .. thred.n end, re = function(event) return event.id end },
        publish = "$thred",
        transition = "$noTransition",
      },
      p.where { type = "org.wt.client.tell", re = p.answer_to "q" } { transition = "$noTransition" },
      p.where { type = "stop" } { transition = "$terminate" },
    },
  },
}]]

t.test("an unbound event starts a thred; bound ones move it", function()
  local w = world.new()
  w:pattern(COUNT)
  local o = w:outcome { type = "begin", values = { n = 5 } }
  t.eq(o.outcome, "matched")
  t.eq(#o.threds, 1)
  local id = o.threds[1]
  local row = w:thred(id)
  t.eq(row.reaction, "count")
  t.eq(row.step, 1)
  t.eq(row.state.locals.n, 5)
  t.eq(w:titles "ann", "Begun")
  t.eq(w:titles "cid", "Begun")
  t.eq(w:outcome { type = "add", thredId = id, values = { by = 2 } }.outcome, "matched")
  local e = w:received "bob"
  t.eq(e[2].data.title, "n is 7")
  t.eq(e[2].re, "e2")
  t.eq(e[2].causedBy, "e2")
  t.eq(e[2].thredId, id)
  t.eq(e[2].source.id, "SYSTEM")
  t.eq(w:outcome { type = "other", thredId = id }.outcome, "not_matched")
  t.eq(w:thred(id).step, 3)
  t.eq(w:outcome { type = "stop", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).status, "finished")
  w:close()
end)

t.test("nobody wants it: no_pattern; no such thred: 5203 to the sender", function()
  local w = world.new()
  w:pattern(COUNT)
  t.eq(w:outcome { type = "unknown" }.outcome, "no_pattern")
  local o = w:outcome { type = "add", thredId = "nope" }
  t.eq(o.outcome, "no_thred")
  t.eq(o.error.code, 5203)
  local e = w:received "ann"
  t.eq(e[1].data.content.error.code, 5203)
  t.eq(e[1].re, "e2")
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("a duplicate takes effect once; the same id with other content is refused", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  w:outcome { id = "x1", type = "add", thredId = id }
  local o = w:outcome { id = "x1", type = "add", thredId = id }
  t.eq(o.outcome, "duplicate")
  t.eq(o.threds[1], id)
  t.eq(w:thred(id).state.locals.n, 1)
  t.raises(function() w:outcome { id = "x1", type = "add", thredId = id, values = { by = 3 } } end, "x1")
  t.eq(w:outcome { id = "x1", source = "bob", type = "add", thredId = id }.outcome, "matched")
  w:close()
end)

t.test("broadcast and echo", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  local question = w:received("ann")[1]
  w:received "bob" w:received "cid"
  t.eq(w:outcome { type = "org.wt.client.tell", thredId = id, re = question.id, values = { yes = true } }.outcome, "matched")
  local echo = w:received("bob")[1]
  t.eq(echo.type, "org.wt.broadcast")
  t.eq(echo.data.title, "Action by ann")
  t.eq(echo.data.content.valuesType, "broadcastValues")
  t.eq(echo.data.content.values.messageSource.id, "ann")
  t.eq(echo.data.content.values.re, question.id)
  t.eq(#w:received "ann", 0)
  w:received "cid"
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "hi" } }.outcome, "relayed")
  t.eq(w:titles "bob", "Message from ann")
  t.eq(w:titles "cid", "Message from ann")
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id }.error.code, 4202)
  t.eq(w:outcome { type = "org.wt.client.broadcast", source = "dee", thredId = id, values = { message = "x" } }.error.code, 4101)
  w:outcome { type = "stop", thredId = id }
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "still" } }.outcome, "relayed")
  t.eq(w:outcome { type = "add", thredId = id }.outcome, "no_thred")
  w:advance(24 * 3600 * 1000 + 1000)
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "late" } }.outcome, "no_thred")
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

local AND = [[p.pattern "Both" {
  p.reaction "wait" {
    p.all {
      p.where { type = "a" } { on_true = function(event, thred) thred.order = (thred.order or "") .. "a" end },
      p.any {
        p.where { type = "b" } { on_true = function(event, thred) thred.order = (thred.order or "") .. "b" end },
        p.all { p.where { type = "c" }, p.where { type = "d" } },
      },
    } {
      on_true = function(event, thred) thred.order = thred.order .. "!" end,
      transform = { title = "done" }, publish = "ann", transition = "$noTransition",
    },
  },
}]]

t.test("an and remembers its operands while the thred stays; nested ands don't share", function()
  local w = world.new()
  w:pattern(AND)
  local o = w:outcome { type = "a" }
  t.eq(o.outcome, "partial")
  local id = o.threds[1]
  t.eq(w:outcome { type = "a", thredId = id }.outcome, "not_matched")
  t.eq(w:outcome { type = "c", thredId = id }.outcome, "partial")
  t.eq(w:outcome { type = "d", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).state.locals.order, "a!")
  t.eq(next(w:thred(id).state.memory), nil) -- cleared, also on $noTransition
  t.eq(w:outcome { type = "b", thredId = id }.outcome, "partial")
  t.eq(w:outcome { type = "a", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).state.locals.order, "a!ba!")
  w:close()
end)

t.test("transitions: names, forward, local; expiry with and without an event, 90 days in an instant", function()
  local w = world.new()
  w:pattern [[p.pattern "Moves" {
    p.reaction "one" {
      p.where { type = "go" } {
        on_true = function(event, thred) thred.kept = event end,
        transition = { name = "two", input = "forward" },
      },
    },
    p.reaction "two" { p.where { type = "go" } { transition = "three" } },
    p.reaction "three" {
      expiry = { after = "90d", transition = "late" },
      p.where { type = "back" } { transition = { name = "two", input = "local", local_name = "kept" } },
    },
    p.reaction "late" { p.where { type = "ok" } { transform = { title = "bye" }, publish = "ann" } },
  }]]
  local id = w:outcome { type = "go" }.threds[1]
  t.eq(w:thred(id).reaction, "three")
  t.eq(w:outcome { type = "back", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).reaction, "three")
  w:advance(90 * 86400000 - 1000)
  t.eq(w:thred(id).reaction, "three")
  w:advance(2000)
  t.eq(w:thred(id).reaction, "late")
  t.eq(w:outcome { type = "ok", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).status, "terminated") -- $next after the last
  t.eq(w:titles "ann", "bye")
  w.swept = true -- the first records are older than they are kept
  w:close()
end)

t.test("spawn: children end with their parent, siblings don't; context is copied", function()
  local w = world.new()
  w:pattern [[p.pattern "Parent" {
    p.reaction "one" { p.where { type = "go" } {
      on_true = function(event, thred) thred.x = { 1, 2, { y = p.null } } end,
      spawn = { names = { "Child" }, type = "child", context = true }, transition = "two" } },
    p.reaction "two" { p.any {
      p.where { type = "more" } { spawn = { names = "Child", type = "sibling", input = "forward" }, transition = "$noTransition" },
      p.where { type = "end" } { transition = "$terminate" } } },
  }]]
  w:pattern [[p.pattern "Child" {
    p.reaction "wait" { p.where { type = "more" } {
      on_true = function(event, thred) thred.seen = true end, transform = { title = "child" }, publish = "bob" } },
    p.reaction "rest" { p.where { type = "never" } { transition = "$terminate" } },
  }]]
  local id = w:outcome { type = "go" }.threds[1]
  local children = w:threds { pattern = "child" }
  t.eq(#children, 1)
  local child = w:thred(children[1].id)
  t.ok(json.equal(child.state.locals.x, { 1, 2, { y = json.null } }))
  t.eq(child.state.parent, id)
  w:outcome { type = "more", thredId = id }
  t.eq(#w:threds { pattern = "child", status = "active" }, 2)
  t.eq(w:titles "bob", "child")
  w:outcome { type = "end", thredId = id }
  t.eq(#w:threds { pattern = "child", status = "active" }, 1)
  t.eq(w:thred(child.id).status, "terminated")
  w:close()
end)

t.test("an error leaves no trace of the step, and a dead letter that names it", function()
  local w = world.new()
  w:pattern [[p.pattern "Bad" {
    p.reaction "one" { p.where { type = "go" } { on_true = function(event, thred) thred.n = 1 end } },
    p.reaction "two" { p.where { type = "go" } {
      on_true = function(event, thred) thred.n = 2; local x = event.values.nothing.more end } },
  }]]
  local id = w:outcome { type = "go" }.threds[1]
  local o = w:outcome { type = "go", thredId = id, values = { a = 1 } }
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find("Bad", 1, true) and o.error.message:find("two", 1, true) and o.error.message:find("test.lua:5", 1, true))
  t.eq(w:thred(id).state.locals.n, 1)
  t.eq(w:thred(id).step, 1)
  local d = w:dead()[1]
  t.eq(d.pattern, "bad")
  t.eq(d.reaction, "two")
  t.eq(d.target, "thred:" .. id)
  t.eq(w:received("ann")[1].data.content.error.code, 5000)
  w:pattern [[p.pattern "Bad" {
    p.reaction "one" { p.where { type = "go" } { on_true = function(event, thred) thred.n = 1 end } },
    p.reaction "two" { p.where { type = "go" } { on_true = function(event, thred) thred.n = 3 end, transition = "$noTransition" } },
  }]]
  world.task(function() w.store:dead_retry(d.id, require "core.runtime".now()) end)
  t.eq(w:thred(id).state.locals.n, 3)
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("instances: a refused start is recorded; an ended thred gives its place back", function()
  local w = world.new()
  w:pattern [[p.pattern "One" { max_instances = 1, instance_interval = 0,
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "end" } { transition = "$terminate" } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  t.eq(w:outcome { type = "go" }.outcome, "refused")
  w:outcome { type = "end", thredId = id }
  t.eq(w:outcome { type = "go" }.outcome, "matched")
  w:close()
end)

t.test("sources, groups, roles", function()
  local w = world.new()
  w:pattern [[p.pattern "Who" {
    p.reaction "a" { allowed_sources = { "$group0", "/^C/" }, p.where { type = "go" } {} },
    p.reaction "b" { allowed_roles = "boss", p.where { type = "end" } { transition = "$terminate" } } }]]
  t.eq(w:outcome { type = "go", source = "dee" }.outcome, "no_pattern")
  t.eq(w:outcome { type = "go", source = "cid" }.outcome, "matched")
  local id = w:outcome { type = "go", source = "bob" }.threds[1]
  t.eq(w:outcome { type = "end", source = "bob", thredId = id }.outcome, "not_matched")
  t.eq(w:outcome { type = "end", source = "dee", thredId = id }.outcome, "matched")
  w:close()
end)

t.test("several targets: each a step of its own; threds that allow unbound events are offered them", function()
  local w = world.new()
  w:pattern [[p.pattern "P1" { p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { allow_unbound_events = true, p.where { type = "tick" } { on_true = function(e, thred) thred.n = (thred.n or 0) + 1 end,
      transition = "$noTransition" } } }]]
  w:pattern [[p.pattern "P2" { p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" { p.where { type = "x" } {} } }]]
  w:pattern [[p.pattern "P3" { p.reaction "a" { p.filter(function(event) return event.type == "go" and event.values.no.such end) {} } }]]
  local o = w:outcome { type = "go" }
  t.eq(o.outcome, "matched")
  t.eq(#o.threds, 2)
  t.eq(#w:dead(), 1)
  t.eq(w:dead()[1].target, "start:p3")
  w:outcome { type = "tick" }
  w:outcome { type = "tick" }
  local p1 = w:threds { pattern = "p1" }[1]
  t.eq(w:thred(p1.id).state.locals.n, 2)
  w:close()
end)

t.test("what SYSTEM does not take yet", function()
  local w = world.new()
  local o = w:outcome { type = "org.wt.control.sysControl", thredId = "SYSTEM", values = { op = "getThreds" } }
  t.eq(o.error.code, 4000)
  t.eq(w:received("ann")[1].data.content.error.message, "not available yet")
  w:close()
end)

t.test("a service's address counts as its id for allowed_sources, and what was looked up is recorded", function()
  local w = world.new()
  w.directory:register { id = "org.wt.robot1", type = "org.wt.robot", address = "robot0" }
  t.ok(w.directory:alias("rover", "org.wt.robot1"))
  t.eq(w.directory:alias("x", "nobody"), false)
  w:pattern [[p.pattern "Robot" {
    p.reaction "a" { allowed_sources = "robot0", p.where { type = "go" } {} },
    p.reaction "b" { allowed_sources = { "rover" }, p.where { type = "end" } { transition = "$terminate" } } }]]
  t.eq(w:outcome { type = "go", source = "bob" }.outcome, "no_pattern")
  t.eq(w:outcome { type = "go", source = "org.wt.robot2" }.outcome, "no_pattern")
  local id = w:outcome { type = "go", source = "org.wt.robot1" }.threds[1]
  t.eq(w:outcome { type = "end", source = "bob", thredId = id }.outcome, "not_matched")
  local _, done = w:send { type = "end", source = "org.wt.robot1", thredId = id }
  t.eq(done.outcome, "matched")
  local records = world.task(function() return w.store:records(id, {}) end)
  local rec = json.decode(records[#records].rec)
  t.eq(rec.reads, { ["service:rover?org.wt.robot1"] = true })
  w:close()
end)

return t.finish()
