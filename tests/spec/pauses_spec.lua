-- SPDX-License-Identifier: MIT
-- Patterns that are paused: what is for them waits, in order, through restarts, and is done once.
local t = require "srvthreds.spec"
local logs = require "core.log"
local accept = require "srvthreds.session.accept"
local runtime = require "core.runtime"
local temp = require "temp_folder"
local world = require "world"

logs.level "error"

local COUNT = [[p.pattern "Count" {
  p.reaction "begin" { p.where { type = "begin" } {
    on_true = function(_, thred) thred.seen = "" end, transform = { title = "begun" }, publish = "ann" } },
  p.reaction "count" { expiry = { after = "1h", transition = "late" },
    p.any {
      p.where { type = "add" } { on_true = function(event, thred) thred.seen = thred.seen .. event:value "n" end,
        transition = "$noTransition" },
      p.where { type = "spin" } { on_true = function() while true do end end, transition = "$noTransition" },
      p.where { type = "child" } { spawn = { names = "Child", type = "child" }, transition = "$noTransition" },
    } },
  p.reaction "late" { p.where { type = "add" } { transition = "$noTransition" } },
}]]
local OTHER = [[p.pattern "Other" {
  p.reaction "one" { p.any { p.where { type = "begin" }, p.where { type = "mine" } } {
    transform = { title = "other" }, publish = "bob" } } }]]

local function pause(w, id, facts)
  return world.task(function() return w.engine.pauses:pause(id, facts or { reason = "a test", by = "ann" }) end)
end
local function resume(w, id)
  world.task(function() return w.engine.pauses:resume(id, "a test") end)
  w:advance(200)
end
local function waiting(w, id)
  local p = w.engine.pauses.held[id]
  return p and p.waiting or nil
end

t.test("bound events of a paused pattern wait, and are done in order and once", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  t.ok(pause(w, "count"))
  t.eq(pause(w, "count"), false)
  for n = 1, 5 do t.eq(w:outcome { id = "a" .. n, type = "add", thredId = id, values = { n = n } }.outcome, "pending") end
  t.eq(w:thred(id).state.locals.seen, "")
  t.eq(waiting(w, "count"), 5)
  local row = world.task(function() return w.store:event("a1", "ann") end)
  t.eq(row.outcome, "queued")
  t.eq(w:outcome { id = "a1", type = "add", thredId = id, values = { n = 1 } }.outcome, "duplicate")
  resume(w, "count")
  t.eq(w:thred(id).state.locals.seen, "12345")
  t.eq(w:thred(id).step, 6)
  t.eq(next(w.engine.pauses.held), nil)
  t.eq(world.task(function() return w.store:event("a1", "ann") end).outcome, "matched")
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  t.eq(w:outcome { type = "add", thredId = id, values = { n = 6 } }.outcome, "matched")
  w:close()
end)

t.test("its threds' records are those of threds that never waited", function()
  local texts = {}
  for i, paused in ipairs { true, false } do
    local w = world.new()
    w:pattern(COUNT)
    local id = w:outcome { type = "begin" }.threds[1]
    if paused then pause(w, "count") end
    w:outcome { type = "add", thredId = id, values = { n = 1 } }
    if paused then resume(w, "count") end
    local text = {}
    for _, e in ipairs(world.task(function() return w.store:records(id, {}) end)) do
      text[#text + 1] = ("%s %s %s %s"):format(e.kind, e.outcome, e.step, e.rec)
    end
    texts[i] = table.concat(text, "\n")
    w:close()
  end
  t.eq(texts[1], texts[2])
end)

t.test("an unbound event goes to the others at once, and to the paused one later", function()
  local w = world.new()
  w:pattern(COUNT)
  w:pattern(OTHER)
  pause(w, "count")
  local o = w:outcome { id = "b", type = "begin" }
  t.eq(o.outcome, "matched")
  t.eq(w:titles "bob", "other")
  t.eq(w:titles "ann", "")
  t.eq(w:outcome { type = "mine" }.outcome, "matched") -- of the same source: nobody stands behind it
  t.eq(waiting(w, "count"), 1)
  t.eq(#w:threds { pattern = "count" }, 0)
  resume(w, "count")
  t.eq(w:titles "ann", "begun")
  t.eq(#w:threds { pattern = "count" }, 1)
  w:close()
end)

t.test("an unbound event that only the paused one may want is asked later; one that it doesn't want is no_pattern", function()
  local w = world.new()
  w:pattern [[p.pattern "Big" { p.reaction "one" {
    p.filter(function(event) return event.type == "size" and event:value "n" > 2 end) {
      transform = { title = "big" }, publish = "ann" } } }]]
  pause(w, "big")
  for n = 1, 4 do w:outcome { id = "s" .. n, type = "size", values = { n = n } } end
  t.eq(waiting(w, "big"), 4)
  resume(w, "big")
  t.eq(w:titles "ann", "big, big")
  local outcomes = {}
  for n = 1, 4 do outcomes[n] = world.task(function() return w.store:event("s" .. n, "ann") end).outcome end
  t.eq(outcomes, { "no_pattern", "no_pattern", "matched", "matched" })
  w:close()
end)

t.test("two paused patterns: each resumes by itself; the event's outcome is matched when one matched", function()
  local w = world.new()
  w:pattern(COUNT)
  w:pattern(OTHER)
  pause(w, "count")
  pause(w, "other")
  t.eq(w:outcome { id = "b", type = "begin" }.outcome, "pending")
  local function outcome() return world.task(function() return w.store:event("b", "ann") end).outcome end
  t.eq(outcome(), "queued")
  resume(w, "other")
  t.eq(w:titles "bob", "other")
  t.eq(outcome(), "matched")
  t.eq(waiting(w, "count"), 1)
  resume(w, "count")
  t.eq(w:titles "ann", "begun")
  t.eq(outcome(), "matched")
  w:close()
end)

t.test("two paused patterns that have gone on between an event's routing and its targets: it gets its outcome", function()
  local w = world.new()
  w:pattern(COUNT)
  w:pattern(OTHER)
  pause(w, "count")
  pause(w, "other")
  local settle, seen = w.engine.settle, nil
  function w.engine.settle(self, delivery, changes, after)
    settle(self, delivery, changes, after)
    if changes.outcome ~= "queued" or seen then return end
    seen, self.pauses.held = #changes.messages, {} -- nothing waits: resuming is done at once
  end
  w:send { id = "b", type = "begin" }
  w:advance(200)
  t.eq(seen, 2)
  t.eq(next(w.engine.pauses.held), nil)
  t.eq(w:titles "ann" .. w:titles "bob", "begunother")
  t.eq(world.task(function() return w.store:event("b", "ann") end).outcome, "matched")
  w:close()
end)

t.test("a pattern that is paused and resumed again and again leaves nothing behind", function()
  local w = world.new()
  w:pattern(COUNT)
  local function held()
    local n = 0
    for _, v in pairs(debug.getregistry()) do
      if type(v) == "function" then n = n + 1 end
    end
    return n
  end
  pause(w, "count")
  resume(w, "count")
  local before = held()
  for _ = 1, 20 do
    pause(w, "count")
    resume(w, "count")
  end
  t.eq(held(), before)
  w:close()
end)

local OPEN = [[p.pattern "Open" {
  p.reaction "begin" { p.where { type = "open" } { on_true = function(_, thred) thred.seen = "" end } },
  p.reaction "wait" { allow_unbound_events = true, p.where { type = "add" } {
    on_true = function(event, thred) thred.seen = thred.seen .. event:value "n" end, transition = "$noTransition" } },
}]]

t.test("live threds that take unbound events: each event once, in order, for every thred", function()
  local w = world.new()
  w:pattern(OPEN)
  for _ = 1, 3 do w:outcome { type = "open" } end
  pause(w, "open")
  for n = 1, 4 do w:outcome { type = "add", values = { n = n } } end
  t.eq(waiting(w, "open"), 4)
  resume(w, "open")
  for _, row in ipairs(w:threds { pattern = "open" }) do t.eq(w:thred(row.id).state.locals.seen, "1234") end
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
end)

t.test("expiries wait too, and come after what was accepted before them", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  local idle = w:outcome { type = "begin" }.threds[1]
  pause(w, "count")
  w:outcome { type = "add", thredId = id, values = { n = 1 } }
  local due, fired = w.engine.due, 0
  function w.engine.due(...)
    fired = fired + 1
    return due(...)
  end
  w:advance(2 * 3600 * 1000)
  t.eq(fired, 2) -- and not again each second
  t.eq(w:thred(idle).reaction, "count")
  w:outcome { type = "add", thredId = id, values = { n = 2 } }
  resume(w, "count")
  t.eq(w:thred(idle).reaction, "late")
  t.eq(w:thred(id).reaction, "late")
  t.eq(w:thred(id).state.locals.seen, "1") -- the second came after the deadline
  w:close()
end)

t.test("a child that waited to be begun doesn't begin when its parent has ended meanwhile", function()
  local w = world.new()
  w:pattern(COUNT)
  w:pattern [[p.pattern "Child" { p.reaction "one" { p.where { type = "never" } {} } }]]
  local id, gone = w:outcome { type = "begin" }.threds[1], w:outcome { type = "begin" }.threds[1]
  pause(w, "child")
  for _, thred in ipairs { id, gone } do w:outcome { type = "child", thredId = thred } end
  t.eq(waiting(w, "child"), 2)
  world.task(function()
    w.queue:settle({}, { messages = { { topic = "engine", target = "terminate:" .. gone, body = { at = runtime.now() } } } }, {})
  end)
  t.eq(w:thred(gone).status, "terminated")
  resume(w, "child")
  local children = w:threds { pattern = "child" }
  t.eq(#children, 1)
  t.eq(w:thred(children[1].id).state.parent, id)
  w:close()
end)

t.test("a pattern that goes over its budget again and again pauses itself; an edit resumes it", function()
  local w = world.new { pauses = { after = 3, within = 60000 } }
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  for n = 1, 2 do t.eq(w:outcome { type = "spin", thredId = id }.outcome, "error", n) end
  w:advance(61000)
  t.eq(w:outcome { type = "spin", thredId = id }.outcome, "error")
  t.eq(next(w.engine.pauses.held), nil) -- not within a minute
  for _ = 1, 2 do w:outcome { type = "spin", thredId = id } end
  local p = w.engine.pauses.held.count
  t.eq(p.state, "paused")
  t.ok(p.reason:find("3 times", 1, true) and p.reason:find('reaction "count"', 1, true) and p.reason:find("CPU time", 1, true), p.reason)
  t.eq(#w:dead(), 5)
  t.eq(w:outcome { type = "add", thredId = id, values = { n = 1 } }.outcome, "pending")
  w:pattern(OTHER) -- another pattern's edit is none of its
  t.eq(waiting(w, "count"), 1)
  w:pattern((COUNT:gsub("while true do end", "")))
  w:advance(200)
  t.eq(next(w.engine.pauses.held), nil)
  t.eq(w:thred(id).state.locals.seen, "1")
  w:close()
end)

t.test("paused again while it resumes: what waits keeps its place", function()
  local w = world.new { pauses = { after = 2, within = 60000 } }
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  pause(w, "count")
  for n = 1, 3 do w:outcome { type = "add", thredId = id, values = { n = n } } end
  for _ = 1, 2 do w:outcome { type = "spin", thredId = id } end
  for n = 4, 6 do w:outcome { type = "add", thredId = id, values = { n = n } } end
  resume(w, "count")
  t.eq(w.engine.pauses.held.count.state, "paused")
  t.eq(w:thred(id).state.locals.seen, "123")
  t.eq(waiting(w, "count"), 3)
  w:outcome { type = "add", thredId = id, values = { n = 7 } }
  resume(w, "count")
  t.eq(w:thred(id).state.locals.seen, "1234567")
  t.eq(#w:dead(), 2)
  w:close()
end)

t.test("by setting its events become dead letters, and so does what is more than may wait", function()
  for _, options in ipairs { { events = "dead" }, { waiting = 0 } } do
    local w = world.new { pauses = options }
    w:pattern(COUNT)
    local id = w:outcome { type = "begin" }.threds[1]
    w:received "ann"
    pause(w, "count")
    local o = w:outcome { type = "add", thredId = id, values = { n = 1 } }
    t.eq(o.outcome, "error")
    t.ok(o.error.message:find("pattern count is paused: a test", 1, true), o.error.message)
    t.eq(w:outcome { type = "begin" }.outcome, "error")
    local dead = w:dead()
    t.eq({ dead[1].target, dead[2].target, dead[1].pattern }, { "thred:" .. id, "route:count", "count" })
    resume(w, "count")
    for _, d in ipairs(dead) do world.task(function() w.store:dead_retry(d.id, runtime.now()) end) end
    t.eq(w:thred(id).state.locals.seen, "1")
    t.eq(#w:threds { pattern = "count" }, 2)
    t.eq(#w:dead(), 0)
    w:close()
  end
end)

t.test("a restart in between: it is paused still, what waits waits, and is done once", function()
  local folder = temp.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/s.db" }
  w:pattern(COUNT)
  w:pattern(OPEN)
  local id = w:outcome { type = "begin" }.threds[1]
  w:outcome { type = "open" }
  pause(w, "count")
  pause(w, "open")
  for n = 1, 3 do w:outcome { type = "add", thredId = id, values = { n = n } } end
  w:outcome { type = "add", values = { n = 1 } }
  w:restart()
  t.eq(w.engine.pauses.held.count.reason, "a test")
  t.eq({ waiting(w, "count"), waiting(w, "open") }, { 3, 1 })
  w:outcome { type = "add", thredId = id, values = { n = 4 } }
  world.task(function() return w.engine.pauses:resume("count", "a test") end) -- and at once:
  w:restart()
  w:advance(200)
  t.eq(w.engine.pauses.held.count, nil)
  t.eq(w:thred(id).state.locals.seen, "1234")
  t.eq(w.engine.pauses.held.open.state, "paused")
  resume(w, "open")
  t.eq(w:thred(w:threds({ pattern = "open" })[1].id).state.locals.seen, "1")
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
  folder:close()
end)

t.test("more than the memory of the queue holds", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  pause(w, "count")
  local want = {}
  for n = 1, 1500 do
    w:send { type = "add", thredId = id, values = { n = n % 10 } }
    want[n] = n % 10
  end
  t.eq(w.queue:depth(), 0) -- they lie in the store
  t.eq(waiting(w, "count"), 1500)
  resume(w, "count")
  t.eq(w:thred(id).state.locals.seen, table.concat(want))
  w:close()
end)

-- In the same commit as an event that the disk has no room for; it has room again in a second.
local function with_a_full_disk(w, fn)
  local failed
  world.task(function()
    fn()
    local doc = accept.prepare({ type = "big", id = "big", data = { content = { values = { text = ("x"):rep(900000) } } } },
      { id = "ann" }, runtime.now())
    accept.queue(w.queue, doc, function(e) failed = e end)
  end)
  w:advance(0)
  t.ok(failed, "the disk is full")
end

t.test("a commit fails: what was paused is paused still, what waited is done once", function()
  local folder = temp.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/s.db", max_pages = 200 }
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  with_a_full_disk(w, function() w.engine.pauses:pause("count", { reason = "a test", by = "ann" }) end)
  w:advance(3000)
  for n = 1, 3 do w:outcome { type = "add", thredId = id, values = { n = n } } end
  t.eq(waiting(w, "count"), 3)
  w:restart() -- the store knows
  t.eq({ w.engine.pauses.held.count.state, waiting(w, "count") }, { "paused", 3 })
  with_a_full_disk(w, function()
    w.engine.pauses:resume("count", "a test")
    runtime.sleep(0)
  end)
  w:advance(3000)
  w:outcome { type = "add", thredId = id, values = { n = 4 } }
  w:advance(3000)
  t.eq(next(w.engine.pauses.held), nil)
  t.eq(w:thred(id).state.locals.seen, "1234")
  t.eq({ #w:dead(), world.task(function() return w.store:counts() end).queue }, { 0, 0 })
  w:restart()
  t.eq(next(w.engine.pauses.held), nil)
  w:close()
  folder:close()
end)

t.test("the commit of the last that waited fails: it waits again, and nothing passes it", function()
  local w = world.new { max_pages = 200 }
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  pause(w, "count")
  for n = 1, 3 do w:outcome { type = "add", thredId = id, values = { n = n } } end
  local real, left, undone = w.engine.handle, 3, false
  w.engine.handle = function(self, delivery)
    left = left - (delivery.topic ~= "engine" and 1 or 0)
    if left ~= 0 or undone then return real(self, delivery) end
    undone = true
    local doc = accept.prepare({ type = "big", id = "big", data = { content = { values = { text = ("x"):rep(900000) } } } },
      { id = "ann" }, runtime.now())
    runtime.spawn(function() accept.queue(w.queue, doc, function(e) left = e and -1 or -2 end) end)
    real(self, delivery)
  end
  world.task(function() return w.engine.pauses:resume("count", "a test") end)
  w:advance(40)
  t.eq(left, -1, "the disk is full")
  t.eq(w.engine.pauses.held.count.state, "resuming")
  w:advance(3000)
  w:outcome { type = "add", thredId = id, values = { n = 4 } }
  w:advance(3000)
  t.eq(w:thred(id).state.locals.seen, "1234")
  t.eq(next(w.engine.pauses.held), nil)
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
end)

-- Events of four sources, bound and unbound, between pauses, resumes, time and restarts, all from one seed. Between a
-- source's bound and its unbound events no order is promised.
local function random_run(seed)
  local state = seed * 7919
  local function pick(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
    return (state >> 30) % n + 1
  end
  local folder = temp.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/s.db" }
  local body = [[on_true = function(event, thred)
      local who, n = event.source.id .. event.type, event:value "n"
      thred.count = thred.count + 1
      if n <= (thred.last[who] or 0) then thred.inversions = thred.inversions + 1 end
      local last = thred.last
      last[who] = n
      thred.last = last
    end, transition = "$noTransition"]]
  for _, name in ipairs { "One", "Two" } do
    w:pattern(([[p.pattern "%s" {
      p.reaction "begin" { p.where { type = "begin" } {
        on_true = function(_, thred) thred.count, thred.last, thred.inversions = 0, {}, 0 end } },
      p.reaction "open" { allow_unbound_events = true, p.any { p.where { type = "all" } { %s }, p.where { type = "add" } { %s } } } }]])
      :format(name, body, body))
  end
  for _ = 1, 2 do w:outcome { type = "begin" } end
  local threds, want, all = {}, {}, 0
  for _, row in ipairs(w:threds {}) do threds[#threds + 1], want[row.id] = row.id, 0 end
  for n = 1, 120 do
    local source = ({ "ann", "bob", "cid", "dee" })[pick(4)]
    if pick(2) == 1 then
      all = all + 1
      w:outcome { source = source, type = "all", values = { n = n } }
    else
      local id = threds[pick(#threds)]
      want[id] = want[id] + 1
      w:outcome { source = source, type = "add", thredId = id, values = { n = n } }
    end
    local id_of = ({ "one", "two" })[pick(2)]
    local what = pick(8)
    if what == 1 then pause(w, id_of) elseif what == 2 then resume(w, id_of) end
    if what == 3 then world.task(function() return w.engine.pauses:resume(id_of, "a test") end) end
    if pick(20) == 1 then w:restart() end
    if pick(4) == 1 then w:advance(pick(30)) end
  end
  for _, id in ipairs { "one", "two" } do resume(w, id) end
  w:advance(1000)
  t.eq(next(w.engine.pauses.held), nil)
  for _, id in ipairs(threds) do
    local locals = w:thred(id).state.locals
    t.eq({ locals.count, locals.inversions }, { want[id] + all, 0 }, ("seed %d, thred %s"):format(seed, id))
  end
  t.eq({ #w:dead(), world.task(function() return w.store:counts() end).queue }, { 0, 0 })
  w:close()
  folder:close()
end

for seed = 1, 10 do
  t.test("everything is applied once, seed " .. seed, function() random_run(seed) end)
end

t.test("what is asked of a pattern that isn't paused changes nothing", function()
  local w = world.new()
  w:pattern(COUNT)
  t.eq(world.task(function() return w.engine.pauses:resume("count", "x") end), false)
  t.eq(w.engine.pauses:summary(), nil)
  pause(w, "count", { reason = "it loops", version = "v" })
  t.ok(w.engine.pauses:summary():find("srvthreds patterns resume count", 1, true))
  w:close()
end)

t.test("a dead letter that waited after somebody's retry still knows how often it was tried", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  t.eq(w:outcome { type = "spin", thredId = id }.outcome, "error")
  pause(w, "count")
  local letter = w:dead()[1]
  world.task(function() w.store:dead_retry(letter.id, runtime.now()) end)
  t.eq({ waiting(w, "count"), #w:dead() }, { 1, 0 })
  resume(w, "count")
  t.eq({ #w:dead(), w:dead()[1].attempts }, { 1, 2 })
  w:close()
end)

t.test("a dead letter of an event that had waited is tried again as any other", function()
  local w = world.new()
  w:pattern(COUNT)
  local id = w:outcome { type = "begin" }.threds[1]
  pause(w, "count")
  w:outcome { id = "bad", type = "add", thredId = id } -- without its n
  resume(w, "count")
  t.eq(#w:dead(), 1)
  for n = 2, 3 do
    local letter = w:dead()[1].id
    t.ok(world.task(function() return w.store:dead_retry(letter, runtime.now()) end))
    w:advance(0)
    t.eq(w:dead()[1].attempts, n)
  end
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
end)

return t.finish()
