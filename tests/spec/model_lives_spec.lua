-- SPDX-License-Identifier: MIT
-- The model, §3, finer: how threds begin, wait, move over and end. Each of these was missing once: a change of the program
-- went by unseen (tests/mutants).
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local timers = require "srvthreds.engine.timers"
local world = require "world"

local function log_of(w, id)
  local list = {}
  for _, r in ipairs(world.task(function() return w.store:records(id, {}) end)) do
    local rec = r.rec and r.rec ~= "" and json.decode(r.rec) or {}
    for _, l in ipairs(rec.log or {}) do
      list[#list + 1] = ("%s %s>%s"):format(l.outcome, l.from or "", l.to or "")
    end
  end
  return table.concat(list, ", ")
end

local function threds_of(w, who)
  local ids = {}
  for _, row in ipairs(world.task(function()
    local found = w.store:participant_threds(who)
    return found.items or found
  end)) do ids[#ids + 1] = row.id end
  table.sort(ids)
  return ids
end

local function message(w, target, body)
  world.task(function() w.queue:settle({}, { messages = { { topic = "engine", target = target, body = body } } }, {}) end)
  w:advance(0)
end

local KID = [[p.pattern "Kid" { instance_interval = "10s", p.reaction "a" { expiry = { after = "1h" },
  p.where { type = "x" } {} }, p.reaction "b" { p.where { type = "y" } {} } }]]

t.test("a child: when it began, its record, who takes part, its end", function()
  local w = world.new()
  w:pattern(KID)
  w:pattern [[p.pattern "Par" { p.reaction "a" { p.where { type = "go" } { transform = { title = "t" }, publish = "bob",
      spawn = { names = "Kid", context = true } } },
    p.reaction "b" { p.any { p.where { type = "kid" } { spawn = { names = "Kid" }, transition = "$noTransition" },
      p.where { type = "end" } { transition = "$terminate" } } } }]]
  local id = w:outcome({ type = "go" }).threds[1]
  local at = runtime.now()
  local kid = w:threds { pattern = "kid" }[1].id
  t.eq({ w:thred(kid).started, w:thred(kid).due, w:thred(kid).state.parent }, { at, at + 3600000, id })
  t.eq(log_of(w, kid), "matched >a")
  local both = { id, kid }
  table.sort(both)
  t.eq(threds_of(w, "bob"), both)
  w:advance(10000)
  w:outcome { type = "kid", thredId = id } -- the interval counts from when the first one began
  t.eq(#w:threds { pattern = "kid" }, 2)
  w:advance(10000)
  t.eq(w:outcome({ type = "x" }).outcome, "matched")
  w:outcome { type = "end", thredId = id }
  t.eq(w:thred(kid).status, "terminated")
  t.eq(log_of(w, kid), "matched >a, matched a>$terminate")
  w:close()
end)

t.test("a parent that forgets a child takes no step, and expires when it would have", function()
  local w = world.new()
  w:pattern [[p.pattern "Kid" { p.reaction "a" { p.where { type = "done" } { transition = "$terminate" } } }]]
  w:pattern [[p.pattern "Par" { p.reaction "a" { p.where { type = "go" } { spawn = { names = { "Kid", "Kid" } } } },
    p.reaction "b" { expiry = { after = "1h" }, p.where { type = "x" } {} },
    p.reaction "c" { p.where { type = "x" } {} } }]]
  local id = w:outcome({ type = "go" }).threds[1]
  local before = w:thred(id)
  t.eq(#before.state.children, 2)
  w:outcome { type = "done", thredId = before.state.children[1] }
  local after = w:thred(id)
  t.eq(after.state.children, json.array { before.state.children[2] })
  t.eq({ after.due, after.step, log_of(w, id) }, { before.due, before.step, "matched a>b" })
  w:advance(3600000)
  t.eq(w:thred(id).reaction, "c")
  w:close()
end)

t.test("participants: each once, in the order they came, also by a partial match; they find their threds", function()
  local w = world.new()
  w:pattern [[p.pattern "P" { p.reaction "a" { p.where { type = "go" } { transform = { title = "t" },
      publish = { "bob", "ann" } } },
    p.reaction "b" { p.all { p.where { type = "x" }, p.where { type = "y" } } { transition = "$noTransition" } } }]]
  local id = w:outcome({ type = "go" }).threds[1]
  t.eq(w:thred(id).state.participants, json.array { "bob", "ann" })
  w:outcome { type = "other", source = "dee", thredId = id }
  w:outcome { type = "x", source = "cid", thredId = id }
  t.eq(w:thred(id).state.participants, json.array { "bob", "ann", "cid" })
  for who, list in pairs { ann = { id }, bob = { id }, cid = { id }, dee = {} } do t.eq(threds_of(w, who), list, who) end
  w:close()
end)

t.test("two sources' events of one id start two threds", function()
  local w = world.new()
  w:pattern [[p.pattern "P" { p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" { p.where { type = "x" } {} } }]]
  local one = w:outcome { type = "go", id = "e" }
  local two = w:outcome { type = "go", id = "e", source = "bob" }
  t.eq({ one.outcome, two.outcome }, { "matched", "matched" })
  t.ok(one.threds[1] ~= two.threds[1])
  w:close()
end)

local EXP = [[p.pattern "Exp" {
  p.reaction "start" { p.where { type = "go" } { transition = "wait" } },
  p.reaction "wait" { expiry = { after = "10s", transition = "late" },
    p.where { type = "x" } { transform = { title = "in time" }, publish = "ann", transition = "$noTransition" } },
  p.reaction "late" { p.where { type = "x" } { transform = { title = "late" }, publish = "ann", transition = "start" } } }]]

t.test("the deadline's own millisecond still counts for the old reaction", function()
  local w = world.new()
  w:pattern(EXP)
  local id = w:outcome({ type = "go" }).threds[1]
  w.store:on_due(function() end) -- no timer comes
  w:advance(10000)
  w:outcome { type = "x", thredId = id }
  w:advance(1)
  w:outcome { type = "x", thredId = id }
  t.eq(w:titles "ann", "in time, late")
  w:close()
end)

t.test("an expiry's time is its due time; what comes after it in the step has the event's", function()
  local w = world.new()
  w:pattern(EXP)
  local id = w:outcome({ type = "go" }).threds[1]
  local start = runtime.now()
  w:advance(60000)
  t.eq({ w:thred(id).reaction, w:thred(id).reacted }, { "late", start + 10000 })
  local other = w:outcome({ type = "go" }).threds[1]
  w.store:on_due(function() end)
  w:advance(15000)
  w:outcome { type = "x", thredId = other }
  t.eq(w:received("ann")[1].time, runtime.now())
  t.eq(w:thred(other).reacted, runtime.now())
  w:close()
end)

t.test("a timer that comes late for a reaction that was left does nothing", function()
  local w = world.new()
  w:pattern [[p.pattern "Back" { p.reaction "a" { expiry = { after = "10s", transition = "b" },
    p.where { type = "go" } { transition = "a" } }, p.reaction "b" { p.where { type = "x" } {} } }]]
  local id = w:outcome({ type = "go" }).threds[1]
  local stale = w:thred(id).due
  w:advance(5000)
  w:outcome { type = "go", thredId = id }
  world.task(function() timers.due(w.engine, id, stale) end)
  t.eq({ w:thred(id).reaction, w:thred(id).due }, { "a", stale + 5000 })
  w:close()
end)

t.test("expiries that follow each other on and on are an error, not an endless loop", function()
  local w = world.new()
  w:pattern [[p.pattern "Tick" { p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { expiry = { after = 1, transition = "b" }, p.where { type = "x" } {} } }]]
  w.store:on_due(function() end)
  local id = w:outcome({ type = "go" }).threds[1]
  w:advance(9000)
  t.eq(w:outcome({ type = "y", thredId = id }).outcome, "not_matched")
  w:advance(11000)
  local o = w:outcome { type = "x", thredId = id }
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find("more than 10000 expiries", 1, true), o.error.message)
  w:close()
end)

local BAD = [[p.pattern "Bad" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.kept = e end } },
  p.reaction "b" { expiry = { after = "5s", transition = { name = "c", input = "local", local_name = "kept" } },
    p.where { type = "on" } { transition = "c" } },
  p.reaction "c" { expiry = { after = "5s", transition = "d" }, p.where { type = "go" } {
    on_true = function(e, thred) %s end, transition = "$noTransition" } },
  p.reaction "d" { p.where { type = "z" } {} } }]]

t.test("a dead timer, tried again: expires the thred that still waits, leaves alone the one that has moved on", function()
  local w = world.new()
  w:pattern(BAD:format 'error "no"')
  local stuck, moved = w:outcome({ type = "go" }).threds[1], w:outcome({ type = "go" }).threds[1]
  w:advance(5000)
  t.eq({ #w:dead(), w:thred(stuck).reaction, w:thred(stuck).due }, { 2, "b", nil })
  w:outcome { type = "on", thredId = moved }
  w:pattern(BAD:format "thred.done = true")
  w:advance(1000)
  local step = w:thred(moved).step
  for _, d in ipairs(w:dead()) do world.task(function() w.store:dead_retry(d.id, runtime.now()) end) end
  w:advance(0)
  t.eq({ w:thred(stuck).reaction, w:thred(stuck).state.locals.done }, { "c", true })
  t.eq({ w:thred(moved).reaction, w:thred(moved).step }, { "c", step })
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("a thred that an expiry finished is kept finished_keep, then archived", function()
  local w = world.new()
  w:pattern [[p.pattern "Fin" { broadcast_allowed = true, finished_keep = "1h", p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { expiry = { after = "10s", transition = "$terminate" }, p.where { type = "x" } {} } }]]
  local id = w:outcome({ type = "go" }).threds[1]
  w:advance(10000)
  t.eq(w:thred(id).status, "finished")
  w:advance(3599999)
  t.eq(w:thred(id).status, "finished")
  w:advance(1)
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

local VERSION = [[p.pattern "Up" { %s
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.n = 1 end } },
  p.reaction "b" { p.where { type = "x" } { transition = "$noTransition" } } }]]

t.test("on_upgrade runs once, with the version it comes from, and may write locals; its failure fails the step", function()
  local w = world.new()
  local old = w:pattern(VERSION:format "")
  local id, other = w:outcome({ type = "go" }).threds[1], w:outcome({ type = "go" }).threds[1]
  w:pattern(VERSION:format "on_upgrade = function(thred, from) thred.n = thred.n + 1 thred.from = from end,")
  for _ = 1, 2 do t.eq(w:outcome({ type = "x", thredId = id }).outcome, "matched") end
  local locals = w:thred(id).state.locals
  t.eq({ locals.n, locals.from }, { 2, old.version })
  w:pattern(VERSION:format 'on_upgrade = function() error "not so" end,')
  local o = w:outcome { type = "x", thredId = other }
  t.eq({ o.outcome, w:thred(other).step, w:thred(other).version }, { "error", 1, old.version })
  t.ok(o.error.message:find("on_upgrade", 1, true) and o.error.message:find("not so", 1, true), o.error.message)
  w:close()
end)

t.test("moved by hand: to a reaction of its pattern; to another name it is an error, and stays", function()
  local w = world.new()
  w:pattern(VERSION:format "")
  local id = w:outcome({ type = "go" }).threds[1]
  message(w, "transition:" .. id, { to = "a", by = "ann", at = runtime.now() })
  t.eq({ w:thred(id).reaction, log_of(w, id) }, { "a", "matched a>b, matched b>a" })
  message(w, "transition:" .. id, { to = "nowhere", by = "ann", at = runtime.now() })
  t.eq({ w:thred(id).reaction, w:thred(id).status, #w:dead() }, { "a", "active", 1 })
  w:close()
end)

return t.finish()
