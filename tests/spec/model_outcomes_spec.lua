-- SPDX-License-Identifier: MIT
-- The model, §§1, 4-6, finer: what an event is taken for, to whom it is offered, what is recorded and told. Each of these
-- was missing once: a change of the program went by unseen (tests/mutants).
local t = require "srvthreds.spec"
local json = require "core.json"
local metrics = require "core.metrics"
local runtime = require "core.runtime"
local accept = require "srvthreds.session.accept"
local offers = require "srvthreds.engine.offers"
local step = require "srvthreds.engine.step"
local temp = require "temp_folder"
local world = require "world"

local function stored(w, id, source)
  local row = world.task(function() return w.store:event(id, source or "ann") end)
  row.rec = row.rec and json.decode(row.rec) or {}
  return row
end

-- Queues without waiting for the outcome, which lies in the table given back once it is there.
local function queued(w, event)
  local got = {}
  world.task(function()
    local _, n = accept.queue(w.queue, accept.prepare(event, { id = "ann" }, runtime.now()), nil)
    w.engine:wait_for(n, function(r) got.result = r end)
  end)
  return got
end

local WAITS = [[p.pattern "%s" { broadcast_allowed = true,
  p.reaction "a" { p.where { type = "go" } {} },
  p.reaction "b" { allow_unbound_events = %s, p.any { p.filter(function(e) return e.type == "tick" and not e:value "no" end) {
      on_true = function(_, thred) thred.n = (thred.n or 0) + 1 end, transition = "$noTransition" },
    p.where { type = "on" } { transition = "c" }, p.where { type = "end" } { transition = "$terminate" } } },
  p.reaction "c" { p.filter(function(e) return e.type == "tick" end) { on_true = function(_, thred) thred.n = 100 end } } }]]

t.test("an event's source is the session's, its time the sender's", function()
  local doc = accept.prepare({ type = "x", time = 5, source = { id = "bob" } }, { id = "ann" }, 9)
  t.eq({ doc.source.id, doc.time }, { "ann", 5 })
  t.eq(accept.prepare({ type = "x" }, { id = "ann" }, 9).time, 9)
end)

t.test("the same id: another type, thred, re or data is another event; another time isn't", function()
  local w = world.new()
  w:pattern(WAITS:format("W", "true"))
  local one, two = w:outcome { type = "go" }.threds[1], w:outcome { type = "go" }.threds[1]
  local function event(change)
    local e = { id = "same", type = "x", thredId = one, re = "r", time = 1, values = { a = 1 } }
    for k, v in pairs(change or {}) do e[k] = v end
    return e
  end
  t.eq(w:outcome(event()).outcome, "not_matched")
  t.eq(w:outcome(event { time = 2 }).outcome, "duplicate")
  for _, change in ipairs { { type = "y" }, { thredId = two }, { re = "s" }, { values = { a = 2 } } } do
    t.raises(function() w:outcome(event(change)) end, "same")
  end
  w:close()
end)

t.test("no such thred, a partial match: both are in the log", function()
  local w = world.new()
  w:pattern [[p.pattern "P" { p.reaction "a" { p.all { p.where { type = "x" }, p.where { type = "y" } } } }]]
  w:outcome { type = "e", id = "lost", thredId = "nowhere" }
  t.eq(stored(w, "lost").rec.log, { { outcome = "no_thred" } })
  t.eq(w:outcome { type = "x", id = "half" }.outcome, "partial")
  t.eq(stored(w, "half").rec.log, { { outcome = "partial", from = "a", to = "a" } })
  w:close()
end)

t.test("a thred is offered only what its reaction allows, oldest first; what it doesn't want is a count", function()
  local w = world.new()
  w:pattern(WAITS:format("Open", "true"))
  w:pattern(WAITS:format("Shut", "false"))
  local open = {}
  for i = 1, 5 do
    for _, id in ipairs(w:outcome({ type = "go" }).threds) do
      if w:thred(id).pattern == "open" then open[i] = id end
    end
  end
  local o = w:outcome { type = "tick", id = "t1" }
  t.eq(o.threds, open)
  t.eq(stored(w, "t1").rec.threds, open)
  t.eq(stored(w, "t1").rec.offered, nil)
  w:outcome { type = "on", thredId = open[2] }
  t.eq(w:outcome({ type = "tick", id = "t2" }).threds, { open[1], open[3], open[4], open[5] })
  t.eq(w:outcome({ type = "tick", id = "t3", values = { no = true } }).outcome, "no_pattern")
  t.eq(stored(w, "t3").rec.offered, 4)
  t.eq(w:thred(open[1]).step, 3)
  w:pattern [[p.pattern "Also" { p.reaction "a" { p.any { p.where { type = "tick" } {}, p.where { type = "go" } {} } },
    p.reaction "b" { allow_unbound_events = true, p.where { type = "tick" } { transition = "$noTransition" } } }]]
  w:outcome { type = "tick", values = { no = true } }
  w:outcome { type = "tick", id = "t4", values = { no = true } }
  t.eq(stored(w, "t4").rec.offered, 4)
  w:close()
end)

t.test("an offer whose thred has moved on meanwhile, or ended, or moved over, does not match", function()
  local w = world.new()
  w:pattern(WAITS:format("Open", "true"))
  local ids = {}
  for i = 1, 3 do ids[i] = w:outcome({ type = "go" }).threds[1] end
  local held = {}
  world.task(function() w.queue:consume("engine/targets", function(d)
    if d.target and d.target:find "^offer:" then held[#held + 1] = d else w.engine:handle(d) end
  end) end)
  queued(w, { type = "tick", id = "t1" })
  t.eq(#held, 3)
  w:outcome { type = "on", source = "bob", thredId = ids[1] }
  w:outcome { type = "end", source = "bob", thredId = ids[2] }
  world.task(function() for _, d in ipairs(held) do w.engine:handle(d) end end)
  t.eq({ w:thred(ids[1]).reaction, w:thred(ids[1]).state.locals.n }, { "c", nil })
  t.eq({ w:thred(ids[2]).status, w:thred(ids[2]).state.locals.n }, { "finished", nil })
  t.eq(w:thred(ids[3]).state.locals.n, 1)
  world.task(function() w.queue:consume("engine/targets", function(d) w.engine:handle(d) end) end)
  w:pattern(WAITS:format("Open", "false")) -- the same shape, but nothing unbound is wanted any more
  t.eq(w:outcome({ type = "tick" }).outcome, "no_pattern")
  t.eq(w:thred(ids[3]).state.locals.n, 1)
  w:close()
end)

t.test("who waits is read from the store page by page", function()
  local w = world.new()
  w:pattern(WAITS:format("Open", "true"))
  local ids = {}
  for i = 1, 5 do ids[i] = w:outcome({ type = "go" }).threds[1] end
  local paged = {
    thred_counts = function() return w.store:thred_counts() end,
    threds = function(_, filter)
      filter.limit = 2
      return w.store:threds(filter)
    end,
  }
  local fresh = offers.new { store = paged, patterns = w.patterns }
  world.task(function() fresh:load() end)
  local doc = accept.prepare({ type = "tick" }, { id = "ann" }, 1)
  local found = fresh:candidates(doc)
  table.sort(found)
  table.sort(ids)
  t.eq(found, ids)
  w:close()
end)

t.test("one source's next event waits until all targets of the one before are done", function()
  local w = world.new()
  w:pattern(WAITS:format("One", "true"))
  w:pattern(WAITS:format("Two", "true"))
  w:pattern [[p.pattern "Next" { p.reaction "a" { p.where { type = "next" } {} }, p.reaction "b" { p.where { type = "z" } {} } }]]
  w:outcome { type = "go" }
  local real, channel, waits = step.apply, runtime.channel(), 0
  step.apply = function(self)
    if self.event.type == "tick" then
      waits = waits + 1
      channel:take()
    end
    return real(self)
  end
  local tick, next_ = queued(w, { type = "tick" }), queued(w, { type = "next" })
  t.eq({ waits, tick.result, next_.result }, { 2, nil, nil })
  step.apply = real
  for _ = 1, 2 do channel:put(true) end
  w:advance(0)
  t.eq({ tick.result.outcome, next_.result.outcome }, { "matched", "matched" })
  w:close()
end)

local FAILS = [[p.pattern "%s" { p.reaction "one" { p.where { type = "go" } {
  on_true = function() error "%s fails" end } } }]]

t.test("several targets: in order of their ids; matched, else error; the first error; each error event its own id", function()
  local w = world.new()
  for _, name in ipairs { "C", "B" } do w:pattern(FAILS:format(name, name)) end
  w:pattern [[p.pattern "A" { max_instances = 1, p.reaction "one" { p.where { type = "go" } {} },
    p.reaction "two" { p.where { type = "x" } {} } }]]
  t.eq(w:outcome({ type = "go" }).outcome, "matched")
  w:received "ann"
  local o = w:outcome { type = "go", id = "g2" } -- A refuses, B and C fail
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find("B fails", 1, true), o.error.message)
  t.eq(stored(w, "g2").rec.targets, { "start:a", "start:b", "start:c" })
  local told = w:received "ann"
  t.eq(#told, 2)
  t.ok(told[1].id ~= told[2].id)
  w:close()
end)

t.test("a failed event is stored with its error; the dead letter says version, file and line", function()
  local w = world.new()
  local pattern = w:pattern(FAILS:format("Bad", "it"))
  w:outcome { type = "go", id = "g" }
  local d = w:dead()[1]
  t.eq({ d.pattern, d.reaction, d.version, d.target }, { "bad", "one", pattern.version, "start:bad" })
  local e = type(d.error) == "string" and json.decode(d.error) or d.error
  t.eq({ e.code, e.file, e.line }, { 5000, "test.lua", 3 })
  local kept = stored(w, "g").rec.error
  t.eq({ kept.code, kept.file, kept.line, kept.message }, { 5000, "test.lua", 3, e.message })
  w:close()
end)

t.test("a second attempt is an attempt, no dead letter", function()
  local w = world.new()
  w:pattern(WAITS:format("W", "true"))
  world.task(function() w.queue:consume("engine", function(d)
    d.attempts = 2
    w.engine:handle(d)
  end) end)
  t.eq(w:outcome({ type = "go" }).outcome, "matched")
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("each outcome is counted", function()
  local w = world.new()
  w:pattern(WAITS:format("W", "true"))
  local function count(outcome)
    return tonumber(metrics.text():match('srvthreds_events_processed_total{outcome="' .. outcome .. '"} (%d+)') or 0)
  end
  local before = { count "matched", count "no_pattern" }
  w:outcome { type = "go" }
  w:outcome { type = "go" }
  w:outcome { type = "nobody" }
  t.eq({ count "matched" - before[1], count "no_pattern" - before[2] }, { 2, 1 })
  w:close()
end)

t.test("what left its reaction in a commit that failed is offered unbound events again", function()
  local w = world.new { max_pages = 200 }
  w:pattern(WAITS:format("W", "true"))
  local id = w:outcome({ type = "go" }).threds[1]
  local err
  world.task(function()
    local doc = accept.prepare({ type = "on", id = "big", thredId = id,
      data = { content = { values = { text = ("x"):rep(900000) } } } }, { id = "ann" }, runtime.now())
    accept.queue(w.queue, doc, function(e) err = e end)
  end)
  t.ok(err, "the disk is full")
  w:advance(1100)
  t.eq(w:thred(id).reaction, "b")
  t.eq(w:outcome({ type = "tick" }).threds, { id })
  w:close()
end)

-- A service, ann and bob take part.
local function talk(flags)
  local w = world.new()
  w.directory:register { id = "org.wt.robot1", type = "org.wt.robot", address = "robot0" }
  w:pattern(([[p.pattern "Talk" { %s
    p.reaction "a" { p.where { type = "go" } { transform = { title = "hi" }, publish = { to = { "bob", "robot0" } } } },
    p.reaction "b" { p.any { p.where { type = "org.wt.client.tell" } {}, p.where { type = "all" } {
      transform = { title = "all" }, publish = "$thred" } } { transition = "$noTransition" } } }]]):format(flags))
  local sent = {}
  world.task(function() w.queue:consume("org.wt.robot1", function(d) sent[#sent + 1] = d end) end)
  local id = w:outcome({ type = "go" }).threds[1]
  for _, who in ipairs { "ann", "bob" } do w:received(who) end
  return w, id, sent
end

t.test("a message for a service goes to its queue; it takes part, but $thred is the people", function()
  local w, id, sent = talk ""
  t.eq(#sent, 1)
  t.eq(w:thred(id).state.participants, json.array { "bob", "org.wt.robot1", "ann" })
  w:outcome { type = "all", thredId = id }
  t.eq(w:titles "ann" .. w:titles "bob", "allall")
  t.eq({ #sent, world.task(function() return #w.store:inbox("org.wt.robot1", nil, 10) end) }, { 1, 0 })
  w:close()
end)

t.test("broadcast and echo only if the pattern says so", function()
  local w, id = talk ""
  local o = w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "m" } }
  t.eq({ o.outcome, o.error.code }, { "error", 4101 })
  w:outcome { type = "org.wt.client.tell", thredId = id, values = { n = 1 } }
  t.eq(#w:received "bob", 0)
  w:close()
end)

t.test("broadcast and echo: what stands in them", function()
  local w, id = talk "broadcast_allowed = true, echo_responses = true,"
  local function seen()
    local e = w:received("bob")[1]
    return { e.type, e.data.title, e.data.content.valuesType, e.causedBy, e.thredId, e.data.content.values }
  end
  w:outcome { type = "org.wt.client.broadcast", id = "b1", thredId = id, values = { message = "m", n = 1 } }
  t.eq(seen(), { "org.wt.broadcast", "Message from ann", "broadcastMessage", "b1", id,
    { message = "m", n = 1, messageSource = { id = "ann" } } })
  w:outcome { type = "org.wt.client.tell", id = "t1", thredId = id, re = "q", values = { n = 2 } }
  t.eq(seen(), { "org.wt.broadcast", "Action by ann", "broadcastValues", "t1", id,
    { n = 2, re = "q", messageSource = { id = "ann" } } })
  w:close()
end)

t.test("a field that isn't there: which event has it not, and what was meant", function()
  local w = world.new()
  for expression, text in pairs {
    ["event.souce.id"] = "(field 'souce'); the event e1 of type go has no `souce`, did you mean `source`?",
    ["event:valu 'n'"] = "(method 'valu'); the event e1 of type go has no `valu`, did you mean `value`?",
    ["event.values.colour.red"] = "(field 'colour'); the event e1 of type go has no `colour`, did you mean `color`?",
    ["event.depth.x"] = "(field 'depth'); the event has it among its values: event:value \"depth\"",
    ["event.data.xyz.x"] = "(field 'xyz'); the event e1 of type go has no `xyz`",
    ["event.source.id .. thred.sum"] = "(field 'sum'); the event e1 of type go has no `sum`",
    ["1 + event.values.depth.x"] = "attempt to index a number value",
  } do
    w:pattern(([[p.pattern "Absent" { p.reaction "a" { p.where { type = "go" } {
      on_true = function(event, thred) return %s end } } }]]):format(expression))
    local o = w:outcome { type = "go", id = "e1", source = "user " .. expression, values = { color = 1, depth = 2 } }
    t.eq(o.outcome, "error")
    t.ok(o.error.message:find(text, 1, true), o.error.message)
    t.eq(o.error.message:find("did you mean", 1, true) ~= nil, text:find("did you mean", 1, true) ~= nil)
  end
  w:close()
end)

-- Events that lie on disk when the engine starts.
local function backlog(w, from, to)
  world.task(function() w.queue:consume("engine", nil) end)
  runtime.spawn(function()
    for i = from, to do
      accept.queue(w.queue, accept.prepare({ type = "go", id = "m" .. i }, { id = "ann" }, runtime.now()), nil)
    end
  end)
  w:advance(1000)
end

t.test("many events of one source, each with several targets, are done after a start and in order", function()
  local folder = temp.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/many.db" }
  for i = 1, 2 do
    w:pattern(([[p.pattern "Many%d" { p.reaction "a" { p.where { type = "go" } {
      transform = { title = function(e) return e.id end }, publish = "ann" } } }]]):format(i))
  end
  -- More than run at once; fewer where everything is collected again and again, all that wait with it each time.
  local count = os.getenv "SRVTHREDS_GC" and 1200 or 3000
  backlog(w, 1, count)
  w:restart()
  w:advance(1000)
  local got = w:received "ann"
  t.eq(#got, 2 * count)
  for i, e in ipairs(got) do t.eq(e.data.title, "m" .. (i + 1) // 2) end
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
  folder:close()
end)

t.test("an event is routed when the last target of its source's event before it is done, whatever holds it up", function()
  for slow = 1, 2 do
    local w = world.new()
    for i = 1, 2 do
      w:pattern(([[p.pattern "Pair%d" {
        p.reaction "a" { p.where { type = "go" } {} },
        p.reaction "b" { allow_unbound_events = true, p.where { type = "x" } {} } }]]):format(i))
    end
    local apply, gate = step.apply, runtime.channel()
    step.apply = function(self)
      if self.pattern.id == "pair" .. slow and self.event.type == "go" then gate:take() end
      return apply(self)
    end
    w:outcome { type = "go" }
    local _, early = w:send { type = "x", id = "x1" }
    t.eq(early.outcome, "pending")
    t.eq(#w:threds(), 1) -- the other target
    world.task(function() gate:put(true) end)
    step.apply = apply
    t.eq(#w:threds { status = "active" }, 0)
    t.eq(#stored(w, "x1").rec.threds, 2)
    w:close()
  end
end)

t.test("targets that a run left behind come before later events of their source", function()
  local folder = temp.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/left.db" }
  for i = 1, 2 do
    w:pattern(([[p.pattern "Left%d" { p.reaction "a" { p.where { type = "go" } {
      transform = { title = function(e) return e.id end }, publish = "ann" } } }]]):format(i))
  end
  world.task(function() w.queue:consume("engine/targets", nil) end)
  w:outcome { type = "go", id = "m1" }
  backlog(w, 2, 3)
  w:restart()
  w:advance(1000)
  t.eq(w:titles "ann", "m1, m1, m2, m2, m3, m3")
  w:close()
  folder:close()
end)

return t.finish()
