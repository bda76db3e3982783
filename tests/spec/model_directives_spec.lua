-- SPDX-License-Identifier: MIT
-- The model, §2, finer: what directives do to the event that goes out, to locals and to threds that they spawn. Each of
-- these was missing once: a change of the program went by unseen (tests/mutants).
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local step = require "srvthreds.engine.step"
local world = require "world"

local function started(source, event)
  local w = world.new()
  w:pattern(source)
  local o = w:outcome(event or { type = "go" })
  return w, o.threds and o.threds[1], o
end

-- A thred of one reaction that stays, started by `go`.
local function staying(directives)
  return started(([[p.pattern "Stay" {
    p.reaction "a" { p.where { type = "go" } { transition = "b" } },
    p.reaction "b" { p.where { type = "x" } { %s } } }]]):format(directives))
end

-- What scripts log while fn runs, a text a step.
local function logged(fn)
  local new, made = step.new, {}
  step.new = function(...)
    made[#made + 1] = new(...)
    return made[#made]
  end
  fn()
  step.new = new
  local lines = {}
  for _, s in ipairs(made) do lines[#lines + 1] = table.concat(s.log or {}, " ") end
  return lines
end

t.test("and: what is remembered of nested conditions goes too when it completes", function()
  local w, id = started [[p.pattern "Deep" {
    p.reaction "start" { p.where { type = "go" } {} },
    p.reaction "wait" { p.all { p.where { type = "a" },
      p.any { p.where { type = "b" }, p.all { p.where { type = "c" }, p.where { type = "d" } } } } {
      transition = "$noTransition" } } }]]
  local function send(kind) return w:outcome { type = kind, thredId = id }.outcome end
  t.eq({ send "c", send "b", send "a" }, { "partial", "partial", "matched" })
  t.eq(next(w:thred(id).state.memory), nil)
  t.eq({ send "a", send "d", send "c" }, { "partial", "partial", "matched" })
  w:close()
end)

t.test("locals are written in on_true only, also after an on_true has run", function()
  local w, id = staying [[on_true = function(_, thred) thred.n = 1 end,
    transform = { title = function(_, thred) thred.n = 2 return "t" end }, publish = "ann"]]
  local o = w:outcome { type = "x", thredId = id }
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find("thred.n can't be written here", 1, true), o.error.message)
  w:close()
end)

t.test("a local is a copy: what the script changes afterwards isn't in it", function()
  local w, id = staying [[on_true = function(_, thred)
    local list = { 1 }
    thred.list = list
    list[1] = 2
    thred.same = thred.list[1] == 1 end, transition = "$noTransition"]]
  w:outcome { type = "x", thredId = id }
  t.eq(w:thred(id).state.locals, { list = json.array { 1 }, same = true })
  w:close()
end)

t.test("a function in a local is an error where it is written", function()
  local w, id = staying "on_true = function(_, thred)\nthred.f = tostring end"
  local m = w:outcome { type = "x", thredId = id }.error.message
  t.ok(m:find("test.lua:5", 1, true) and m:find("thred.f: a function can't be kept", 1, true), m)
  w:close()
end)

t.test("an error in a local names the reaction that wrote it, also if the thred has left it", function()
  local w, _, o = started [[p.pattern "Left" {
    p.reaction "writes" { p.where { type = "go" } { on_true = function(_, thred) thred.list = {}
      thred.list[1], thred.list[3] = 1, 3 end } },
    p.reaction "next" { p.where { type = "x" } {} } }]]
  t.ok(o.error.message:find('reaction "writes"', 1, true), o.error.message)
  w:close()
end)

t.test("re is set on the event, each time, and is no part of its data", function()
  local w, id = staying [[transform = { title = "t", re = "fixed" }, publish = "ann", transition = "$noTransition"]]
  for _ = 1, 2 do
    w:outcome { type = "x", thredId = id }
    local e = w:received("ann")[1]
    t.eq({ e.re, e.data }, { "fixed", { title = "t" } })
  end
  w:close()
end)

t.test("re that is no text is an error", function()
  local w, id = staying [[transform = { title = "t", re = function() return 7 end }, publish = "ann"]]
  local o = w:outcome { type = "x", thredId = id }
  t.ok(o.outcome == "error" and o.error.message:find("re is the id of an event", 1, true))
  w:close()
end)

t.test("the event goes out before the transition: its expressions see the reaction that matched", function()
  local w, id = staying [[on_true = function(_, thred) thred.seen = p.reaction_of(thred) end,
    transform = { title = function(_, thred) return p.reaction_of(thred) .. " " .. table.concat(p.participants(thred), ",") end },
    publish = { to = function(_, thred) return p.reaction_of(thred) == "b" and "bob" or "cid" end,
      on_publish = function(_, thred) thred.at = p.reaction_of(thred) end }, transition = "a"]]
  w:outcome { type = "x", source = "cid", thredId = id }
  t.eq(w:titles "bob", "b ann")
  local locals = w:thred(id).state.locals
  t.eq({ locals.seen, locals.at, w:thred(id).reaction }, { "b", "b", "a" })
  t.eq(w:thred(id).state.participants, json.array { "ann", "bob", "cid" })
  w:close()
end)

t.test("input local without a stored event is an error that says so", function()
  local w, id = staying [[transition = { name = "a", input = "local", local_name = "nothing" }]]
  local o = w:outcome { type = "x", thredId = id }
  t.ok(o.error.message:find('there is no event under the local "nothing"', 1, true), o.error.message)
  t.eq(w:thred(id).reaction, "b")
  w:close()
end)

t.test("functions of a template run in byte order of their keys", function()
  local w, id = staying [[transform = { title = "t", content = { values = {
    b = function() log "b" return 1 end, a = function() log "a" return 1 end, B = function() log "B" return 1 end,
    c = function() log "c" return 1 end } } }, publish = "ann"]]
  t.eq(logged(function() w:outcome { type = "x", thredId = id } end), { "B a b c" })
  w:close()
end)

t.test("one expression gives a template with expressions, or a part of the event as it is", function()
  local w, id = started [[p.pattern "Whole" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.any {
      p.where { type = "x" } { transform = function() return { title = function(event) return event.type end } end },
      p.where { type = "y" } { transform = function(event) return event.data end },
    } { publish = "ann", transition = "$noTransition" } } }]]
  w:outcome { type = "x", thredId = id }
  w:outcome { type = "y", thredId = id, data = { title = "as it was", content = { values = { 1, 2 } } } }
  local got = w:received "ann"
  t.eq(got[1].data, { title = "x" })
  t.eq(json.encode(got[2].data), '{"content":{"values":[1,2]},"title":"as it was"}')
  w:close()
end)

t.test("time, cause and source of what goes out are the step's", function()
  local w, id = staying [[transform = { title = "t" }, publish = "ann", transition = "$noTransition"]]
  w:advance(1234)
  w:outcome { type = "x", id = "x1", thredId = id }
  local e = w:received("ann")[1]
  t.eq({ e.time, e.causedBy, e.thredId, e.source }, { runtime.now(), "x1", id,
    { id = "SYSTEM", name = "Workthreds Bot" } })
  w:close()
end)

local KID = [[p.pattern "%s" { p.reaction "a" { p.where { type = "x" } {
  on_true = function(e, thred) thred.got = e.id end } }, p.reaction "b" { p.where { type = "z" } {} } }]]

t.test("spawn: each of the names; without context nothing is copied; siblings have no parent", function()
  local w = world.new()
  w:pattern(KID:format "One")
  w:pattern(KID:format "Two")
  w:pattern [[p.pattern "Mk" { p.reaction "a" { p.where { type = "go" } {
      on_true = function(_, thred) thred.mine = 1 end, transform = { title = "t" }, publish = "bob",
      spawn = { names = { "One", "Two" }, type = "sibling" } } },
    p.reaction "b" { p.where { type = "y" } {} } }]]
  w:outcome { type = "go" }
  for _, name in ipairs { "one", "two" } do
    local list = w:threds { pattern = name }
    t.eq(#list, 1, name)
    local state = w:thred(list[1].id).state
    t.eq({ next(state.locals), #state.participants, state.parent }, { nil, 0, nil })
  end
  w:close()
end)

t.test("spawn with input local: the new thred takes the stored event", function()
  local w = world.new()
  w:pattern(KID:format "One")
  w:pattern [[p.pattern "Mk" {
    p.reaction "a" { p.where { type = "x", source = "bob" } { on_true = function(e, thred) thred.kept = e end } },
    p.reaction "b" { p.where { type = "y" } { spawn = { names = "One", input = "local", local_name = "kept" },
      transition = "$noTransition" } } }]]
  local id
  for _, thred in ipairs(w:outcome { type = "x", id = "first", source = "bob" }.threds) do
    if w:thred(thred).pattern == "mk" then id = thred end
  end
  local before = #w:threds { pattern = "one" }
  w:outcome { type = "y", id = "second", thredId = id }
  local list = w:threds { pattern = "one" }
  t.eq(#list, before + 1)
  local spawned
  for _, row in ipairs(list) do
    if w:thred(row.id).state.parent == id then spawned = w:thred(row.id) end
  end
  t.eq({ spawned.reaction, spawned.state.locals.got }, { "b", "first" })
  w:close()
end)

return t.finish()
