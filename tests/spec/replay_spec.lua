-- SPDX-License-Identifier: MIT
-- Running recorded threds again from the store's rows: what a step was given from outside is in its record, and a thred
-- that would come out otherwise is found. That whatever else the specs do can be run again: world.lua, close.
local t = require "srvthreds.spec"
local json = require "core.json"
local logs = require "core.log"
local runtime = require "core.runtime"
local accept = require "srvthreds.session.accept"
local replay = require "srvthreds.engine.replay"
local world = require "world"

logs.level "error"

local function message(w, target, body)
  world.task(function()
    w.queue:settle({ n = 0 }, { messages = { { topic = "engine", target = target, body = body } } }, {})
  end)
end

local function facts(groups, roles)
  return { participants = { ann = {}, bob = {}, cid = {}, dee = { roles = roles } }, groups = groups }
end

local function outside(w)
  w.directory:register { id = "org.wt.robot1", type = "org.wt.robot", address = "robot0" }
end

t.test("who was a member, had a role, was connected or a service then", function()
  local w = world.new { facts = facts({ team = { "bob", "ann" } }, { "boss" }) }
  outside(w)
  w:pattern [[p.pattern "Out" { echo_responses = true, broadcast_allowed = true,
    p.reaction "a" { allowed_sources = { "$team", "robot0", "dee" }, p.where { type = "go" } {
      transform = { title = "hello" }, publish = { to = { "$team", "org.wt.robot", "nobody", "cid" } } } },
    p.reaction "b" { allowed_sources = { "$team", "robot0" }, p.any { p.where { type = "next" } {},
      p.where { type = "org.wt.client.tell" } {
        transform = { title = "all" }, publish = { to = { "$all", "$thred" } }, transition = "$noTransition" } } },
    p.reaction "c" { allowed_roles = { "boss" }, p.where { type = "x" } {} } }]]
  w.directory:connect("dee", 1)
  local id = w:outcome { type = "go", source = "bob" }.threds[1]
  t.eq(w:outcome { type = "org.wt.client.tell", thredId = id, source = "ann", values = { x = 1 } }.outcome, "matched")
  t.eq(w:outcome { type = "org.wt.client.tell", thredId = id, source = "cid" }.outcome, "not_matched")
  t.eq(w:outcome { type = "org.wt.client.tell", thredId = id, source = "org.wt.robot1", values = { y = 1 } }.outcome, "matched")
  w:send { type = "x", thredId = id, source = "org.wt.robot1", data = { content = { error = { code = 5200 } } } }
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, source = "ann", values = { message = "m" } }.outcome, "relayed")
  message(w, "transition:" .. id, { to = "c", at = runtime.now() })
  t.eq(w:outcome { type = "x", thredId = id, source = "ann" }.outcome, "not_matched")
  t.eq(w:outcome { type = "x", thredId = id, source = "dee" }.outcome, "matched")
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, source = "cid", values = { message = "m" } }.outcome, "relayed")
  w.directory:connect("dee", -1)
  w.directory:set { participants = { ann = {} } } -- nothing is as it was
  w.directory.services = {}
  t.ok(w:replay().steps >= 8)
  w:advance(25 * 3600000) -- kept for a day; then it ends without a step
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

local MOVES = [[p.pattern "Moves" { %s
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.e = e end } },
  p.reaction "b" { expiry = { after = %q, transition = { name = "c", input = "local", local_name = "e" } },
    p.where { type = "fine" } {} },
  p.reaction "c" { expiry = { after = "1m", transition = "b" }, p.where { type = "go" } {
    transform = { title = "tick" }, publish = "$thred", transition = "$noTransition",
    on_true = function(_, thred) thred.n = (thred.n or 0) + 1 end } } }]]

t.test("a timer that an edit put off, once and again; moving over; an event that comes late", function()
  local w = world.new()
  w:pattern(MOVES:format("", "10s"))
  local one, two = w:outcome { type = "go" }.threds[1], w:outcome { type = "go" }.threds[1]
  w:advance(5000)
  w:pattern(MOVES:format("", "30s"))
  w:advance(10000) -- due before, put off to 30 s
  w:pattern(MOVES:format([[on_upgrade = function(thred, from) thred.from = from end,]], "20s"))
  w:advance(10000) -- would have expired at 20 s now, but is armed for 30 s
  t.eq(w:thred(one).reaction, "b")
  t.eq(w:outcome { type = "fine", thredId = two }.outcome, "not_matched") -- the expiry comes first
  w:advance(60000)
  t.ok(w:thred(one).state.locals.from)
  w:advance(200000)
  t.ok(w:replay().steps > 8)
  w:close()
end)

local FAILS = [[p.pattern "Fails" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.e = e end } },
  p.reaction "b" { expiry = { after = "10s", transition = { name = "c", input = "local", local_name = "e" } },
    p.where { type = "x" } {} },
  p.reaction "c" { allowed_sources = { "$group0" }, p.where { type = "go" } {
    transform = { title = "c" }, publish = { to = { "$group0", "cid" } }, transition = { name = "d", input = "forward" } } },
  p.reaction "d" { expiry = { after = "10s" }, p.where { type = "go" } {
    on_true = function(e, thred) %s end, transition = "$terminate" } } }]]

t.test("a timer that fails, as it failed; and its retry, at another time, on another version", function()
  local w = world.new()
  w:pattern(FAILS:format "if #p.participants(thred) > 1 then error 'crowded' end", "/some-where/test.lua")
  local id = w:outcome { type = "go" }.threds[1]
  w:advance(10000)
  t.eq(#w:dead(), 1)
  w.directory:set { participants = { ann = {}, cid = {} } }
  t.eq(w:replay().accepted, 0)
  w:pattern(FAILS:format "thred.n = p.now()")
  w:advance(5000)
  w.directory:set { participants = { ann = {}, cid = {} }, groups = { group0 = { "ann" } } }
  world.task(function() w.store:dead_retry(w.store:dead {}.items[1].id, runtime.now()) end)
  w:advance(1000)
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

t.test("a step that a limit ended is taken as it was recorded", function()
  local w = world.new()
  w:pattern(FAILS:format "while true do end")
  w:outcome { type = "go" }
  w:advance(10000)
  local error_of = json.decode(w:dead()[1].error)
  t.eq(error_of.kind, "cpu")
  t.eq(w:replay().accepted, 1)
  w:close()
end)

local SPAWNS = [[p.pattern "Spawns" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(_, thred) thred.x = { 1, "two" } end } },
  p.reaction "b" { allow_unbound_events = true, p.any {
    p.where { type = "any" } { transition = "$noTransition", on_true = function(_, thred) thred.n = math.random(1000000) end },
    p.where { type = "spawn" } { spawn = { names = { "Kid", "Few" }, context = true, input = "forward", type = "sibling" },
      transition = "$noTransition" },
    p.where { type = "child" } { spawn = { names = "Kid" }, transition = "$noTransition" },
    p.where { type = "end" } { spawn = { names = "Kid" }, transition = "$terminate" } } } }]]
local KID = [[p.pattern "%s" { max_instances = %d, on_upgrade = function() end,
  p.reaction "wait" { p.any { p.where { type = "spawn" } { transition = "$noTransition" }, p.where { type = "over" } {} } },
  p.reaction "x" { p.where { type = "never" } {} } }]]

t.test("spawned threds from what spawned them; several targets; a terminated child; a pattern renamed since", function()
  local w = world.new()
  w:pattern(SPAWNS)
  w:pattern(KID:format("Kid", 0))
  w:pattern(KID:format("Few", 1))
  local one, two = w:outcome { type = "go" }.threds[1], w:outcome { type = "go" }.threds[1]
  t.eq(#w:outcome { type = "any" }.threds, 2)
  for _, kind in ipairs { "spawn", "child", "child", "end" } do w:outcome { type = kind, thredId = one } end
  w:outcome { type = "child", thredId = two }
  message(w, "terminate:" .. two, { at = runtime.now() })
  w:advance(1000)
  world.task(function()
    local doc = accept.prepare({ type = "spawn", id = "late", thredId = two }, { id = "ann" }, runtime.now())
    accept.queue(w.queue, doc, nil)
  end)
  w.patterns:drop "kid"
  local sum = w:replay()
  t.ok(sum.threds >= 7)
  -- One alone: what it comes from is run before it.
  for _, row in ipairs(w:threds {}) do
    local r = world.task(function() return replay.new(w.store):thred(row.id) end)
    t.eq({ r.difference, r.incomplete, r.steps }, { nil, nil, row.step })
  end
  w:close()
end)

local TRIED = [[p.pattern "Tried" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(_, thred) %s thred.at = p.now() end } },
  p.reaction "b" { p.where { type = "x" } { transition = "$noTransition", on_true = function(_, thred) %s
    thred.at = { thred.at, p.now() } end } } }]]

t.test("a dead letter that is tried again takes its step at the time of its retry", function()
  local w = world.new()
  w:pattern(TRIED:format("error 'one'", ""))
  local function again()
    w:advance(10000)
    world.task(function() w.store:dead_retry(w.store:dead {}.items[1].id, runtime.now()) end)
    w:advance(1000)
  end
  t.eq(w:outcome { type = "go" }.outcome, "error")
  w:pattern(TRIED:format("", "error 'two'"))
  again()
  local id = w:threds {}[1].id
  t.eq(w:outcome { type = "x", thredId = id }.outcome, "error")
  w:pattern(TRIED:format("", ""))
  again()
  local at = w:thred(id).state.locals.at
  t.eq(at[2] - at[1], 11000)
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("an unbound event that was buried before it was routed starts its thred at the time of its retry", function()
  local w = world.new()
  w:pattern(TRIED:format("", ""))
  world.task(function() w.queue:consume("engine", function(d)
    d.attempts = 3
    w.engine:handle(d)
  end) end)
  t.eq(w:outcome { type = "go" }.outcome, "error")
  world.task(function() w.queue:consume("engine", function(d) w.engine:handle(d) end, require "srvthreds.engine.event".class) end)
  w:advance(5000)
  local letter = w:dead()[1]
  t.eq({ letter.target, letter.attempts }, { nil, 3 })
  world.task(function() w.store:dead_retry(letter.id, runtime.now()) end)
  local row = w:thred(w:threds {}[1].id)
  t.eq(row.state.locals.at, runtime.now())
  local first = world.task(function() return w.store:records(row.id)[1] end)
  t.eq({ first.kind, runtime.now() - first.at }, { "in", 5000 })
  w:close()
end)

-- A table with a function in it is not guarded.
local KEEPS = [[(function()
  local k = { n = 0, add = function(k) k.n = k.n + 1 return k.n end }
  return p.pattern "Keeps" { p.reaction "a" { p.where { type = "go" } {} },
  p.reaction "b" { p.any {
    p.where { type = "say" } { transform = { title = function() return "n" .. k:add() end }, publish = "ann",
      transition = "$noTransition" },
    p.where { type = "keep" } { transition = "$noTransition", on_true = function(_, thred) thred.n = k:add() end },
    } } } end)()]]

-- What running the second of two threds again gives.
local function differing(kind)
  local w = world.new()
  w:pattern(KEEPS)
  local ids = { w:outcome { type = "go" }.threds[1], w:outcome { type = "go" }.threds[1] }
  for _, id in ipairs(ids) do w:send { type = kind, thredId = id } end
  local r = world.task(function() return replay.new(w.store):thred(ids[2]) end)
  world.task(function() w.store:close() end)
  runtime.advance(0)
  return r, ids[2]
end

t.test("a pattern that keeps something outside of its threds is found, with thred, step, expected and got", function()
  local r, id = differing "say"
  local d = t.ok(r.difference)
  t.eq({ r.id, r.steps, d.step, d.what }, { id, 1, 2, "event 1" })
  t.ok(d.expected:find('"title":"n2"', 1, true) and d.got:find('"title":"n1"', 1, true), d.got)
  t.ok(replay.text(r):find("thred " .. id .. ", step 2, event 1", 1, true))
  r = differing "keep"
  d = t.ok(r.difference)
  t.eq({ r.steps, d.step, d.what, d.expected, d.got }, { 2, 2, "state",
    '{"locals":{"n":2},"participants":["ann"]}', '{"locals":{"n":1},"participants":["ann"]}' })
end)

t.test("pages of records leave out nothing, though an event's row is older than what was emitted before it", function()
  local w = world.new()
  w:pattern(MOVES:format("", "10s"))
  local id = w:outcome { type = "go" }.threds[1]
  w:advance(10000)
  local held = {}
  world.task(function() w.queue:consume("engine", function(d) held[#held + 1] = d end) end)
  for _ = 1, 5 do w:send { type = "go", thredId = id } end
  for _, d in ipairs(held) do world.task(function() w.engine:handle(d) end) end
  t.eq(w:thred(id).step, 7)
  local function rows(after, limit)
    return world.task(function() return w.store:records(id, { after = after, limit = limit }) end)
  end
  local all, after = rows(nil, nil), 0
  t.eq(#all, 13)
  for i = 1, #all do
    local page = rows(after, 1)
    t.eq(page[1] and page[1].n, all[i].n)
    after = all[i].n
  end
  w:close()
end)

return t.finish()
