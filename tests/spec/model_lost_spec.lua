-- SPDX-License-Identifier: MIT
-- A commit that fails in the middle: what was built on it comes to nothing, quietly, and comes again (model, §4).
local t = require "srvthreds.spec"
local runtime = require "core.runtime"
local step = require "srvthreds.engine.step"
local accept = require "srvthreds.session.accept"
local world = require "world"

local SAY = [[p.pattern "Say%s" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.s = "" end } },
  p.reaction "b" { allow_unbound_events = true, expiry = { after = "5s", transition = { name = "b" } },
    p.where { type = "x" } { transition = "$noTransition",
      on_true = function(e, thred) thred.s = thred.s .. e.values.s if e.values.fail then error "no" end end,
      transform = { title = "done" }, publish = "ann" } } }]]

local function queued(w, event)
  local got = {}
  world.task(function()
    local doc = accept.prepare(event, { id = "ann" }, runtime.now())
    local _, n = accept.queue(w.queue, doc, function(err) got.told, got.err = true, err end)
    w.engine:wait_for(n, function(r) got.result = r end)
  end)
  return got
end

local function values(v) return { content = { values = v } } end

-- Steps wait in the middle until they are let go, each once.
local function hold()
  local name = "apply"
  local real, gate = step[name], { held = 0, channel = runtime.channel() }
  step[name] = function(self)
    gate.held = gate.held + 1
    if not gate.open then gate.channel:take() end
    return real(self)
  end
  function gate:release()
    step[name], self.open = real, true
    for _ = 1, self.held do self.channel:put(true) end
    runtime.advance(0)
  end
  return gate
end

-- A commit that the disk has no room for; it has room again in a second.
local function fill(w)
  local big = queued(w, { type = "big", id = "big", data = values { text = ("x"):rep(900000) } })
  t.ok(big.err, "the disk is full")
  return big
end

local function small(...)
  local w = world.new { max_pages = 200 }
  for _, name in ipairs { ... } do w:pattern(SAY:format(name)) end
  return w
end

t.test("a step refused by an old fence comes again; no dead letter, who waits is told, once", function()
  for _, again_first in ipairs { false, true } do
    local w = small "1"
    local id = w:outcome { type = "go" }.threds[1]
    local gate = hold()
    local x = queued(w, { type = "x", id = "x1", thredId = id, data = values { s = "1" } })
    t.eq({ x.told, x.result }, { true, nil })
    fill(w)
    t.eq(x.result.outcome, "pending")
    if again_first then w:advance(1100) end -- delivered again while the first still runs
    gate:release()
    w:advance(1100)
    t.eq(w.engine.epoch, 1)
    t.eq(w:thred(id).state.locals.s, "1")
    t.eq(w:titles "ann", "done")
    t.eq(#w:dead(), 0)
    w:close()
  end
end)

t.test("log(...) of a step whose commit fails is not written; that of the one that comes again is, once", function()
  local w = world.new { max_pages = 200 }
  w:pattern(SAY:format "1":gsub("thred%.s = thred%.s", "log(e.id) %0"))
  local id = w:outcome { type = "go" }.threds[1]
  local gate, lines = hold(), {}
  w.engine.script_log = { info = function(text) lines[#lines + 1] = text end }
  queued(w, { type = "x", id = "x1", thredId = id, data = values { s = "1" } })
  gate.open = true
  gate.channel:put(true) -- it goes on, and commits in one batch with what there is no room for
  fill(w)
  t.eq({ gate.held, w.engine.epoch, #lines }, { 1, 1, 0 })
  gate:release()
  w:advance(1100)
  t.eq(w:thred(id).state.locals.s, "1")
  t.eq(lines, { "x1" })
  w:close()
end)

t.test("a script that fails on what never reached the disk makes no dead letter; the one that comes again does", function()
  local w = small "1"
  local id = w:outcome { type = "go" }.threds[1]
  local gate = hold()
  queued(w, { type = "x", id = "x1", thredId = id, data = values { s = "1", fail = true } })
  fill(w)
  t.eq(gate.held, 1)
  gate:release()
  t.eq(#w:received "ann", 0)
  w:advance(1100)
  t.eq(#w:received "ann", 1)
  t.eq(#w:dead(), 1)
  w:close()
end)

t.test("events that wait for the thred come again too, in order", function()
  local w = small "1"
  local id = w:outcome { type = "go" }.threds[1]
  local gate = hold()
  for i = 1, 5 do queued(w, { type = "x", id = "x" .. i, thredId = id, data = values { s = tostring(i) } }) end
  t.eq(gate.held, 1)
  fill(w)
  gate:release()
  w:advance(1100)
  t.eq(w:thred(id).state.locals.s, "12345")
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("the locks of sources and the routes go with the step: the source's later events are routed", function()
  local w = small("1", "2")
  local o = w:outcome { type = "go" }
  t.eq(#o.threds, 2)
  local gate = hold()
  queued(w, { type = "x", id = "x1", data = values { s = "1" } })
  queued(w, { type = "x", id = "x2", data = values { s = "2" } })
  t.eq(gate.held, 2)
  fill(w)
  t.eq(next(w.engine.routes), nil)
  w:advance(1100)
  gate:release()
  w:advance(1100)
  t.eq(next(w.engine.routes), nil)
  t.eq(w:outcome { type = "x", values = { s = "3" } }.outcome, "matched")
  for _, id in ipairs(o.threds) do t.eq(w:thred(id).state.locals.s, "123") end
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("what failed with its own batch is as if it never was: its id may be used again", function()
  local w = small "1"
  local big = fill(w)
  t.eq(big.err.code, 5000)
  w:advance(1100)
  t.eq(w:outcome { type = "go", id = "big" }.outcome, "matched")
  w:close()
end)

t.test("a step that a failed commit overtakes shows its thred no more", function()
  local w = small "1"
  local id = w:outcome { type = "go" }.threds[1]
  local row
  world.task(function() row = select(2, w.store:begin(id)) end)
  t.eq({ row.id, row.reaction, row.status }, { id, "b", "active" })
  fill(w)
  for _, column in ipairs { "id", "reaction", "state", "step", "due" } do
    t.raises(function() return row[column] end, "can't be read any more")
  end
  t.eq(row:thred(), nil)
  t.raises(function() row:commit({}, {}) end, "can't commit")
  w:advance(1100)
  t.eq(w:thred(id).reaction, "b")
  w:close()
end)

return t.finish()
