-- SPDX-License-Identifier: MIT
-- The model, §§1, 4–7: what happens to an event, failure, duplicates, what is built in,
-- records; in the words of the page.
local t = require "srvthreds.spec"
local json = require "core.json"
local metrics = require "core.metrics"
local runtime = require "core.runtime"
local script = require "core.script"
local world = require "world"

local function records(w, id)
  local list = world.task(function() return w.store:records(id, {}) end)
  for _, r in ipairs(list) do r.rec = r.rec and r.rec ~= "" and json.decode(r.rec) or nil end
  return list
end

local LINE = [[p.pattern "Line" { broadcast_allowed = true, echo_responses = true,
  p.reaction "a" { p.where { type = "go" } { transform = { title = "hello" }, publish = { to = { "$group0",
    "org.wt.robot" } } } },
  p.reaction "b" { p.any {
    p.where { type = "x" } { on_true = function(e, thred) thred.s = (thred.s or "") .. e.values.n end,
      transition = "$noTransition" },
    p.where { type = "org.wt.client.tell" } { transition = "$noTransition" },
    p.where { type = "talk" } { on_true = function(e) log("heard",
      e.source.id) if e.values.fail then error "told to" end end,
      transition = "$noTransition" },
    p.where { type = "end" } { transition = "$terminate" } } } }]]

local function line()
  local w = world.new()
  w.directory:register { id = "org.wt.robot1", type = "org.wt.robot", address = "robot0" }
  w:pattern(LINE)
  local id = w:outcome { type = "go" }.threds[1]
  for _, who in ipairs { "ann", "bob" } do w:received(who) end
  return w, id
end

t.test("what scripts use is counted by pattern and reaction, and what exceeds its limits", function()
  local w = world.new()
  w:pattern [[p.pattern "Greedy" { limits = { cpu = "20ms" },
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "spin" } { on_true = function() while true do end end } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  t.eq(w:outcome { type = "spin", thredId = id }.outcome, "error")
  local e = json.decode(w:dead()[1].error)
  t.eq({ e.kind, e.pattern, e.reaction }, { "cpu", "greedy", "b" })
  t.ok(e.message:find("the limit is 20.0 ms", 1, true))
  local b = script.accounts("greedy")[2]
  t.eq({ b.reaction, b.calls, b.exceeded }, { "b", 1, { cpu = 1 } })
  t.ok(b.cpu >= 20)
  t.ok(metrics.text():find('script_budget_exceeded_total{pattern="greedy",reaction="b",kind="cpu"} 1', 1, true))
  w:close()
end)

t.test("an event from a service with content.error is recorded and reported to the thred's participants", function()
  local w, id = line()
  local function fail(e) return w:outcome { type = "org.wt.robot", source = "org.wt.robot1", thredId = id, data = {
    content = { error = e } } } end
  t.eq(fail { code = 5200, message = "no battery", cause = "flat" }.outcome, "error")
  for _, who in ipairs { "ann", "bob" } do
    local e = w:received(who)[1]
    t.eq({ e.type, e.thredId, e.data.title }, { "org.wt.tell", id, "Failure processing Event e2 : no battery" })
    t.eq(e.data.content.error, { code = 5200, message = "no battery", cause = "flat" })
    t.eq(e.re, "e2")
  end
  t.eq(#w:dead(), 0)
  t.eq(w:thred(id).reaction, "b")
  for _, odd in ipairs { "text", 5, { message = 7, code = "x" }, json.array {} } do t.eq(fail(odd).outcome, "error") end
  t.eq(#w:dead(), 0)
  t.eq(w:received("bob")[1].data.content.error, { code = 5200, message = "text" })
  t.eq(fail(json.null).outcome, "not_matched")
  -- from a participant it is an ordinary event
  t.eq(w:outcome { type = "x2", thredId = id, data = { content = { error = { message = "m" } } } }.outcome,
    "not_matched")
  w:close()
end)

t.test("an error event goes to the sender, never to services", function()
  local w, id = line()
  t.eq(w:outcome { type = "talk", source = "org.wt.robot1", thredId = id, values = { fail = true } }.outcome, "error")
  t.eq(#w:dead(), 1)
  t.eq(world.task(function() return #w.store:inbox("org.wt.robot1", nil, 10) end), 0)
  t.eq(#w:received "ann" + #w:received "bob", 0)
  w:close()
end)

t.test("an event without data, with null or odd content, is an event like any other", function()
  local w, id = line()
  for _, data in ipairs { json.decode '{"content":null}', json.decode '{"content":{"values":null}}',
    json.decode '{"content":{"values":[1,2]}}',
    json.decode '{"content":{"values":"text"}}', json.decode '{}' } do
    t.eq(w:outcome { type = "other", thredId = id, data = data }.outcome, "not_matched")
    t.eq(w:outcome { type = "org.wt.client.tell", thredId = id, data = data }.outcome, "matched")
    t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, data = data }.error.code, 4202)
  end
  t.eq(#w:received "bob", 5) -- the echoes
  w:close()
end)

t.test("echo: from someone who does not take part: not echoed; values of a list of objects are one", function()
  local w, id = line()
  t.eq(w:outcome { type = "org.wt.client.tell", source = "cid", thredId = id, values = { n = 1 } }.outcome, "matched")
  t.eq(#w:received "ann" + #w:received "bob", 0)
  t.eq(w:outcome { type = "org.wt.client.tell", source = "cid", thredId = id, re = "q", values = { { n = 1 }, {
    m = json.null } } }.outcome, "matched")
  t.eq(json.encode(w:received("ann")[1].data.content.values), '{"m":null,"messageSource":{"id":"cid"},"n":1,"re":"q"}')
  w:close()
end)

t.test("the system's own types are refused from participants; causedBy and source are the session's", function()
  local w = line()
  for _, kind in ipairs { "org.wt.tell", "org.wt.broadcast" } do t.raises(function() w:outcome { type = kind } end,
    kind) end
  local doc = require "srvthreds.session.accept".prepare({ type = "x", causedBy = "me", hops = 3 }, { id = "ann" }, 1)
  t.eq({ doc.causedBy, doc.hops, doc.source.id }, { nil, nil, "ann" })
  w:close()
end)

-- What the log gets of scripts' log(...), with its fields.
local function script_lines(w)
  local lines = {}
  w.engine.script_log = { info = function(text, fields)
    lines[#lines + 1] = { text, fields.pattern, fields.reaction, fields.thred_id }
  end }
  return lines
end

t.test("log(...) is written when the step commits, with who said it", function()
  local w, id = line()
  local lines = script_lines(w)
  w:outcome { type = "talk", thredId = id, values = { fail = false } }
  t.eq(lines, { { "heard ann", "line", "b", id } })
  w:outcome { type = "talk", thredId = id, values = { fail = true } } -- it comes to nothing
  t.eq(#lines, 1)
  w:close()
end)

t.test("a dead letter is listed, retried on the active version, dropped; its duplicate is answered", function()
  local w, id = line()
  w:outcome { type = "talk", id = "t1", thredId = id, values = { fail = true } }
  w:outcome { type = "talk", id = "t2", thredId = id, values = { fail = true } }
  t.eq(w:outcome { type = "x", thredId = id, values = { n = "1" } }.outcome,
    "matched") -- it doesn't hold up later events
  local again = w:outcome { type = "talk", id = "t1", thredId = id, values = { fail = true } }
  t.eq({ again.outcome, again.first }, { "duplicate", "error" })
  t.eq(#w:dead(), 2)
  t.raises(function() w:outcome { type = "talk", id = "t1", thredId = id } end, "t1")
  w:pattern((LINE:gsub('error "told to"', "thred_time = nil"):gsub("thred_time = nil", "local x = 1")))
  w:advance(5000)
  local d = w:dead()
  local at = runtime.now()
  world.task(function() w.store:dead_retry(d[1].id, at) end)
  world.task(function() w.store:dead_drop(d[2].id) end)
  t.eq(#w:dead(), 0)
  t.eq(w:thred(id).step, 3)
  local last = records(w, id)
  t.eq(last[#last].outcome, "matched")
  w:close()
end)

t.test("records: a log record per transition, with from and to; the event with addressees and error", function()
  local w, id = line()
  w:outcome { type = "nothing", thredId = id }
  w:outcome { type = "end", thredId = id }
  w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "m" } }
  local log = {}
  for _, r in ipairs(records(w, id)) do
    for _, l in ipairs(r.rec and r.rec.log or {}) do log[#log + 1] = ("%s %s>%s"):format(l.outcome, l.from, l.to) end
  end
  t.eq(table.concat(log, ", "), "matched a>b, not_matched b>b, matched b>$terminate, relayed b>b")
  w:outcome { id = "none", type = "nobody wants this" }
  local rows = world.task(function() return w.store:event("none", "ann") end)
  t.ok(json.encode(rows):find("no_pattern_match", 1, true), json.encode(rows))
  w:close()
end)

t.test("unbound events of one source are processed in the order they were accepted", function()
  local w = world.new()
  w:pattern [[p.pattern "Keep" { p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { allow_unbound_events = true, p.where { type = "n" } { transition = "$noTransition",
      on_true = function(e, thred) thred.s = (thred.s or "") .. e.values.n end } } }]]
  w:pattern [[p.pattern "Slow" { limits = { cpu = "5s", wall = "10s" }, p.reaction "a" { p.filter(function(e)
    if e.type == "n" and e.values.n == "1" then local x = 0 for i = 1, 20000000 do x = x + i end end
    return false end) {} } }]]
  local id = w:outcome { type = "go" }.threds[1]
  local accept = require "srvthreds.session.accept"
  world.task(function()
    for i = 1, 4 do
      accept.queue(w.queue, accept.prepare({ type = "n", id = "n" .. i, data = { content = { values = {
        n = tostring(i) } } } },
        { id = "ann" }, runtime.now()), nil)
    end
  end)
  w:advance(10)
  t.eq(w:thred(id).state.locals.s, "1234")
  w:close()
end)

t.test("bound events of one source to one thred are processed in the order they were accepted", function()
  local w, id = line()
  local accept = require "srvthreds.session.accept"
  world.task(function()
    for i = 1, 20 do
      accept.queue(w.queue, accept.prepare({ type = "x", id = "n" .. i, thredId = id,
        data = { content = { values = { n = i .. " " } } } }, { id = "ann" }, runtime.now()), nil)
    end
  end)
  t.eq(w:thred(id).state.locals.s, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ")
  w:close()
end)

t.test("what a step reads from outside is recorded with it: groups, roles, resolved addresses", function()
  local w = world.new()
  w:pattern [[p.pattern "Reads" {
    p.reaction "a" { allowed_sources = { "$group0" }, p.where { type = "go" } { transform = { title = "t" },
      publish = "$group0" } },
    p.reaction "b" { allowed_roles = { "boss" }, p.where { type = "go" } { transform = { title = "u" }, publish = {
      "$thred", "$none" } } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  w:outcome { type = "go", thredId = id }
  w:outcome { type = "go", source = "dee", thredId = id }
  local reads, to = {}, {}
  for _, r in ipairs(records(w, id)) do
    if r.rec and r.rec.reads then reads[#reads + 1] = json.encode(r.rec.reads) end
    if r.rec and r.rec.to then to[#to + 1] = json.encode(r.rec) end
  end
  t.eq(table.concat(reads, " "), '{"$group0?ann":true} {"role:boss?ann":false} {"role:boss?dee":true}')
  t.eq(table.concat(to, " "),
    '{"people":["ann","bob"],"to":["$group0"]} {"people":["ann","bob"],"to":["$thred","$none"]}')
  w:close()
end)

t.test("an event whose processing kills the process becomes a dead letter after 3 attempts", function()
  local w, id = line()
  world.task(function() w.queue:consume("engine", function(d)
    d.attempts = 3
    w.engine:handle(d)
  end) end)
  local o = w:outcome { type = "x", id = "k1", thredId = id, values = { n = "1" } }
  t.eq({ o.outcome, o.error.code }, { "error", 5000 })
  t.eq({ w:dead()[1].target, w:dead()[1].attempts }, { "thred:" .. id, 3 })
  t.eq(w:received("ann")[1].re, "k1")
  t.eq(w:thred(id).step, 1)
  w:close()
end)

t.test("an error of ours is a dead letter too, and keeps where it was", function()
  local w, id = line()
  local step, logged = require "srvthreds.engine.step", nil
  local real = step.apply
  step.apply = function(self) return self.nothing.here end
  w.engine.log = setmetatable({ error = function(_, fields) logged = fields end }, { __index = w.engine.log })
  local o = w:outcome { type = "x", thredId = id, values = { n = "1" } }
  step.apply = real
  t.eq({ o.outcome, o.error.code }, { "error", 5000 })
  t.eq(#w:dead(), 1)
  t.ok(logged.trace:find("model_events_spec.lua", 1, true) and logged.trace:find("bound.lua", 1, true))
  t.eq(w:received("ann")[1].data.content.error.cause, nil)
  w:close()
end)

t.test("a refused start is recorded; a refused spawn with both", function()
  local w = world.new()
  w:pattern [[p.pattern "One" { max_instances = 1, p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "x" } {} } }]]
  w:pattern [[p.pattern "Mk" { p.reaction "a" { p.where { type = "mk" } { spawn = { names = "One", type = "sibling" } } },
    p.reaction "b" { p.where { type = "x" } {} } }]]
  w:outcome { type = "go" }
  t.eq(w:outcome { type = "go", id = "g2" }.outcome, "refused")
  local row = world.task(function() return w.store:event("g2", "ann") end)
  t.ok(json.encode(row):find("refused", 1, true))
  local real, settled = w.engine.settle, nil
  w.engine.settle = function(self, d, changes, after)
    settled = changes
    return real(self, d, changes, after)
  end
  local mk = w:outcome { type = "mk" }.threds[1]
  w.engine.settle = nil
  t.eq({ settled.outcome, settled.rec.parent, #settled.rec.thred, settled.rec.refused }, { "refused", mk, 32, "max" })
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("spawn: default waits in its first reaction; forward gives it this event, local the stored one", function()
  local w = world.new()
  w:pattern [[p.pattern "Kid" { p.reaction "a" { p.filter(function(e) return e.type ~= "x" end) {
      on_true = function(e, thred) thred.got = e.type .. " of " .. e.source.id end } },
    p.reaction "b" { p.where { type = "x" } {} } }]]
  w:pattern [[p.pattern "Mk" {
    p.reaction "a" { p.where { type = "x" } { on_true = function(e, thred) thred.kept = e end } },
    p.reaction "b" { p.any {
      p.where { type = "y", source = "ann" } { spawn = { names = "Kid" }, transition = "$noTransition" },
      p.where { type = "y", source = "bob" } { spawn = { names = "Kid", input = "forward" }, transition = "$noTransition" },
      p.where { type = "y", source = "cid" } { spawn = { names = "Kid", input = "local", local_name = "kept" },
        transition = "$noTransition" } } } }]]
  local id = w:outcome { type = "x" }.threds[1]
  for i, who in ipairs { "ann", "bob", "cid" } do
    t.eq(w:outcome { type = "y", source = who, thredId = id }.outcome, "matched")
    t.eq(#w:threds { pattern = "kid" }, i)
  end
  local got = {}
  for _, row in ipairs(w:threds { pattern = "kid" }) do
    got[#got + 1] = row.reaction .. ":" .. tostring(w:thred(row.id).state.locals.got)
  end
  table.sort(got)
  t.eq(table.concat(got, ", "), "a:nil, a:nil, b:y of bob") -- the stored one does not match: it waits
  t.eq(#w:dead(), 0)
  w:close()
end)

return t.finish()
