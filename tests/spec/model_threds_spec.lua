-- SPDX-License-Identifier: MIT
-- The model, §§2–4: expiry, spawning, instances, ids, the end of threds; in the words of the page.
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local ids = require "srvthreds.engine.ids"
local world = require "world"

local function records(w, id)
  local list = world.task(function() return w.store:records(id, {}) end)
  for _, r in ipairs(list) do r.rec = r.rec ~= "" and r.rec and json.decode(r.rec) or nil end
  return list
end

local function outcomes(w, id)
  local list = {}
  for _, r in ipairs(records(w, id)) do if r.outcome and r.rec and r.rec.log then list[#list + 1] = r.outcome end end
  return table.concat(list, " ")
end

local EXPIRY = [[p.pattern "Exp" {
  p.reaction "start" { p.where { type = "go" } { on_true = function(e, thred) thred.kept = e end } },
  p.reaction "wait" { expiry = { after = "10s", transition = "late" },
    p.any { p.where { type = "x" } { transform = { title = "in time" }, publish = "ann", transition = "$noTransition" },
      p.where { type = "again" } { transition = "wait" } } },
  p.reaction "late" { expiry = { after = "10s", transition = "later" },
    p.where { type = "x" } { transform = { title = "late" }, publish = "ann", transition = "$noTransition" } },
  p.reaction "later" { expiry = { after = "10s", transition = "$terminate" },
    p.where { type = "x" } { transform = { title = "later" }, publish = "ann", transition = "$noTransition" } },
}]]

-- A thred of EXPIRY, and an event for it that came after `ms`, as the queue delivers it.
local function held(w, ms)
  local id = w:outcome { type = "go" }.threds[1]
  local delivery
  world.task(function() w.queue:consume("engine", function(d) delivery = d end) end)
  w:advance(ms)
  t.eq(w:outcome { type = "x", thredId = id }.outcome, "pending")
  world.task(function() w.queue:consume("engine", function(d) w.engine:handle(d) end, require "srvthreds.engine.event".class) end)
  return id, delivery
end

t.test("an event accepted before the deadline and processed before the timer counts for the old reaction", function()
  local w = world.new()
  w:pattern(EXPIRY)
  local id, late = held(w, 10000)
  t.eq(w:thred(id).reaction, "late") -- the timer was there: it came first
  world.task(function() w.engine:handle(late) end)
  t.eq(w:titles "ann", "late")
  local id2, early = held(w, 9999)
  world.task(function() w.engine:handle(early) end)
  t.eq(w:thred(id2).reaction, "wait")
  t.eq(w:titles "ann", "in time")
  w:advance(1)
  t.eq(w:thred(id2).reaction, "late")
  w:close()
end)

t.test("expired before the event was accepted: its expiry transition first, all that have", function()
  local w = world.new()
  w:pattern(EXPIRY)
  local id = w:outcome { type = "go" }.threds[1]
  w.store:on_due(function() end) -- no timer comes
  w:advance(10001)
  t.eq(w:thred(id).reaction, "wait")
  t.eq(w:outcome { type = "x", thredId = id }.outcome, "matched")
  t.eq(w:titles "ann", "late")
  local id2 = w:outcome { type = "go" }.threds[1]
  w:advance(20001)
  w:outcome { type = "x", thredId = id2 }
  t.eq(w:titles "ann", "later")
  t.eq(w:thred(id2).reacted, w:thred(id2).started + 20000)
  local id3 = w:outcome { type = "go" }.threds[1]
  w:advance(30001)
  local o = w:outcome { type = "x", thredId = id3 } -- expiry ends the thred: 5203
  t.eq({ o.outcome, o.error.code }, { "no_thred", 5203 })
  t.eq(w:thred(id3).status, "terminated")
  t.eq(w:received("ann")[1].data.content.error.code, 5203)
  t.eq(#w:dead(), 0)
  local last = records(w, id3)
  local log = {}
  for _, r in ipairs(last) do
    for _, l in ipairs(r.rec and r.rec.log or {}) do log[#log + 1] = l.outcome .. ">" .. tostring(l.to) end
  end
  t.eq(table.concat(log, " "), "matched>wait expired>late expired>later expired>$terminate no_thred>later")
  w:close()
end)

t.test("a transition to the same reaction by name restarts its expiry; $noTransition does not", function()
  local w = world.new()
  w:pattern(EXPIRY)
  local id = w:outcome { type = "go" }.threds[1]
  w:advance(6000)
  w:outcome { type = "x", thredId = id }
  w:advance(3000)
  w:outcome { type = "again", thredId = id }
  w:advance(9000)
  t.eq(w:thred(id).reaction, "wait")
  w:advance(1000)
  t.eq(w:thred(id).reaction, "late")
  t.eq(outcomes(w, id), "matched matched matched expired")
  t.eq(w:thred(id).step, 4) -- expiries take a number
  w:close()
end)

t.test("expiry: input local works; a script that fails is told to the people, and a dead letter", function()
  local w = world.new()
  w:pattern [[p.pattern "El" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.kept = e end,
      transform = { title = "hi" }, publish = "bob" } },
    p.reaction "b" { expiry = { after = "5s", transition = { name = "c", input = "local", local_name = "kept" } },
      p.where { type = "no" } {} },
    p.reaction "c" { p.where { type = "go" } { on_true = function(e, thred) thred.c = e.values.x.y end,
      transform = { title = "from the kept" }, publish = "bob", transition = "$terminate" } } }]]
  local good = w:outcome { type = "go", values = { x = { y = 1 } } }.threds[1]
  w:advance(5000)
  t.eq(w:thred(good).status, "terminated")
  t.eq(w:titles "bob", "hi, from the kept")
  local bad = w:outcome { type = "go", values = { n = 1 } }.threds[1]
  w:received "ann" w:received "bob"
  w:advance(60000)
  t.eq(w:thred(bad).reaction, "b")
  t.eq(#w:dead(), 1)
  t.eq(w:dead()[1].target, "timer:" .. bad)
  for _, who in ipairs { "ann", "bob" } do
    local e = w:received(who)
    t.eq(#e, 1)
    t.eq(e[1].data.content.error.code, 5000)
    t.ok(not e[1].data.title:find "Event", e[1].data.title)
  end
  t.eq(w:outcome { type = "no", thredId = bad }.outcome, "matched")
  local d = w:dead()[1]
  world.task(function() w.store:dead_retry(d.id, runtime.now()) end)
  t.eq(w:thred(bad).reaction, "c") -- it has moved on: nothing to try
  t.eq(#w:dead(), 0)
  w:close()
end)

-- From now on events are accepted so much later: timers that are due by then have not fired.
local function late(w, ms)
  local queue = w.engine.queue
  w.queue = { accept_event = function(_, doc, at, after) return queue:accept_event(doc, at + ms, after) end }
end

-- What the engine logs, in a list.
local function logged(w)
  local list = {}
  local function add(_, fields) list[#list + 1] = fields end
  w.engine.log = { info = add, warn = add, error = add }
  return list
end

local OVERDUE = [[p.pattern "Over" {
  p.reaction "a" { expiry = { after = "5s" }, p.where { type = "go" } { on_true = function(e, thred) thred.kept, thred.n = e, 0 end,
    transform = { title = "hi" }, publish = "bob" } },
  p.reaction "b" { expiry = { after = "5s", transition = { name = "c", input = "local", local_name = "kept" } },
    p.where { type = "x" } { on_true = function(e, thred) thred.n = thred.n + 1 if e.values then %s end end,
      transform = { title = "x" }, publish = { to = { "$thred", "nobody" } }, transition = "$noTransition" } },
  p.reaction "c" { allowed_sources = { "$group0" }, p.where { type = "go" } { on_true = function(_, thred) thred.n = 100 end,
    transform = { title = "taken back" }, publish = { to = { "cid", "nobody" } }, transition = { name = "d", input = "forward" } } },
  p.reaction "d" { p.where { type = "go" } { on_true = function() %s end } } }]]

t.test("expiry: an overdue one that fails is the timer's failure, not the event's, which comes to its turn", function()
  for i, how in ipairs { "error 'no'", "while true do end" } do
    local w = world.new()
    w:pattern(OVERDUE:format("error 'the event'", how))
    local id = w:outcome { type = "go" }.threds[1]
    w:received "ann" w:received "bob"
    local lines = logged(w)
    late(w, 6000)
    t.eq(w:outcome { type = "x", thredId = id, values = {} }.outcome, "error") -- its own failure: nothing stays
    t.eq({ #w:dead(), w:dead()[1].target, w:thred(id).step }, { 1, "thred:" .. id, 1 })
    t.eq({ #lines, lines[1].target }, { 1, "thred:" .. id })
    w:received "ann"
    t.eq(w:outcome { type = "x", id = "late", thredId = id }.outcome, "matched")
    local row = w:thred(id)
    t.eq({ row.reaction, row.due, row.state.locals.n, row.step }, { "b", nil, 1, 2 })
    t.eq(json.encode(row.state.participants), '["bob","ann"]')
    local letter = w:dead()[2]
    t.eq({ letter.target, letter.event, letter.attempts }, { "timer:" .. id, nil, 1 })
    t.eq(w:received "cid", {})
    for _, who in ipairs { "ann", "bob" } do
      local list = w:received(who)
      t.eq({ #list, list[1].data.content.error.code, list[2].data.title }, { 2, 5000, "x" })
    end
    t.eq({ #lines, lines[2].target, lines[3].to }, { 3, "timer:" .. id, "nobody" })
    t.eq(w:replay().accepted, i - 1)
    w:pattern(OVERDUE:format("", ""))
    world.task(function() w.store:dead_retry(letter.id, runtime.now()) end)
    t.eq({ w:thred(id).status, #w:dead() }, { "terminated", 1 })
    w:close()
  end
end)

t.test("an overdue expiry that fails is run again also where its event sends nothing itself", function()
  local w = world.new()
  w:pattern(OVERDUE:format("", "error 'no'"))
  local id = w:outcome { type = "go" }.threds[1]
  w:received "bob"
  late(w, 6000)
  t.eq(w:outcome { type = "y", thredId = id }.outcome, "not_matched")
  t.eq({ #w:dead(), #w:received "bob" }, { 1, 1 })
  w:close()
end)

t.test("no such addressee: told when the step that named it is there to stay, not when it was taken back", function()
  local w = world.new()
  w:pattern [[p.pattern "Who" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "x" } { transform = { title = "x" }, publish = "nobody",
      transition = { name = "c", input = "forward" } } },
    p.reaction "c" { p.where { type = "x" } { on_true = function(e) if e.values then error "no" end end } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  local lines = logged(w)
  t.eq(w:outcome { type = "x", thredId = id, values = {} }.outcome, "error")
  t.eq({ #lines, lines[1].to }, { 1, nil })
  t.eq(w:outcome { type = "x", thredId = id }.outcome, "matched")
  t.eq({ #lines, lines[2].to, lines[2].thred_id }, { 2, "nobody", id })
  w:close()
end)

t.test("a finished thred relays while it is kept; a broadcast from after that finds none, though its timer is late", function()
  local w = world.new()
  w:pattern [[p.pattern "Fin" { broadcast_allowed = true, finished_keep = "10s",
    p.reaction "a" { p.where { type = "go" } { transform = { title = "hi" }, publish = "bob", transition = "$terminate" } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  late(w, 9000)
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "m" } }.outcome, "relayed")
  local due = w:thred(id).due
  t.eq(due, runtime.now() + 19000)
  late(w, 19001)
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "m" } }.outcome, "no_thred")
  t.eq(w:thred(id).due, due)
  w:advance(19000)
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

local PARENT = [[p.pattern "Par" {
  p.reaction "a" { p.where { type = "go" } {} },
  p.reaction "b" { p.any { p.where { type = "child" } { spawn = { names = "Frail" }, transition = "$noTransition" },
    p.where { type = "sibling" } { spawn = { names = "Frail", type = "sibling" }, transition = "$noTransition" },
    p.where { type = "end" } { transition = "$terminate" } } } }]]

t.test("a dead spawn that is tried again after its parent's end begins no child; a sibling, and in time a child, it does", function()
  local w = world.new()
  w:pattern(PARENT)
  local frail = [[p.pattern "Frail" { max_instances = 2, p.reaction "wait" { p.where { type = "x" } {} } }]]
  w:pattern(frail)
  local gone, here = w:outcome { type = "go" }.threds[1], w:outcome { type = "go" }.threds[1]
  w.patterns:drop "frail"
  for _, ask in ipairs { { gone, "child" }, { gone, "sibling" }, { here, "child" } } do
    w.patterns.names.Frail = { id = "frail", enabled = true }
    t.eq(w:outcome { type = ask[2], thredId = ask[1] }.outcome, "matched")
  end
  t.eq({ #w:dead(), w:dead()[1].attempts }, { 3, 1 })
  t.eq(w:outcome { type = "end", thredId = gone }.outcome, "matched")
  w:pattern(frail)
  for _, d in ipairs(w:dead()) do world.task(function() w.store:dead_retry(d.id, runtime.now()) end) end
  t.eq(#w:dead(), 0)
  local children = w:threds { pattern = "frail" }
  t.eq(#children, 2) -- the instance of the third was given back
  t.eq({ w:thred(children[1].id).state.parent, w:thred(children[2].id).state.parent }, { nil, here })
  w:outcome { type = "end", thredId = here }
  t.eq(#w:threds { pattern = "frail" }, 1)
  w:close()
end)

t.test("expiry after an upgrade: a longer one waits on, none waits for ever", function()
  local w = world.new()
  local source = [[p.pattern "Upg" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { %s p.where { type = "no" } {} },
    p.reaction "c" { p.where { type = "no" } {} } }]]
  w:pattern(source:format 'expiry = { after = "5s" },')
  local id = w:outcome { type = "go" }.threds[1]
  w:pattern(source:format 'expiry = { after = "20s" },')
  w:advance(6000)
  t.eq(w:thred(id).reaction, "b")
  t.eq(w:thred(id).step, 1)
  w:pattern(source:format "")
  w:advance(60000)
  t.eq(w:thred(id).reaction, "b")
  t.eq(w:thred(id).due, nil)
  w:outcome { type = "other", thredId = id } -- the record says which version ran
  local list = records(w, id)
  t.eq(list[#list].rec.upgraded.to, w:thred(id).version)
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("expiry happens also after a restart, once", function()
  local dir = os.tmpname()
  os.remove(dir)
  runtime.mkdirs(dir)
  local w = world.new { url = "sqlite:" .. dir .. "/s.db" }
  w:pattern(EXPIRY)
  local id = w:outcome { type = "go" }.threds[1]
  w:restart()
  w:advance(10000)
  t.eq(w:thred(id).reaction, "late")
  t.eq(w:thred(id).step, 2)
  w:close()
  os.execute("rm -r " .. dir)
end)

local FAMILY = [[p.pattern "Node" {
  p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.depth = (thred.depth or 0) + 1 end,
    transition = { name = "b", input = "forward" } } },
  p.reaction "b" { p.any {
    p.filter(function(e, thred) return e.type == "go" and thred.depth < 4 end) {
      spawn = { names = "Node", type = "child", input = "forward", context = true }, transition = "c" },
    p.filter(function(e, thred) return e.type == "go" end) {
      spawn = { names = "Other", type = "sibling" }, transition = "c" } } },
  p.reaction "c" { p.where { type = "end" } { transition = "$terminate" } } }]]
local OTHER = [[p.pattern "Other" { p.reaction "a" { p.where { type = "begin" } {} }, p.reaction "b" { p.where {
  type = "x" } {} } }]]

t.test("ending a thred terminates its children, recursively, not its siblings", function()
  local w = world.new()
  w:pattern(OTHER)
  w:pattern(FAMILY)
  local id = w:outcome { type = "go" }.threds[1]
  t.eq(#w:threds { pattern = "node" }, 4)
  t.eq(#w:threds { pattern = "other" }, 1)
  w:outcome { type = "end", thredId = id }
  t.eq(#w:threds { pattern = "node", status = "active" }, 0)
  t.eq(#w:threds { pattern = "other", status = "active" }, 1)
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("a child that ends, or is refused, leaves its parent's list", function()
  local w = world.new()
  w:pattern [[p.pattern "Kid" { max_instances = 1, p.reaction "a" { p.where { type = "done" } {
    transition = "$terminate" } } }]]
  w:pattern [[p.pattern "Par" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { expiry = { after = "1h" }, p.where { type = "kid" } { spawn = { names = "Kid", type = "child" },
      transition = "$noTransition" } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  for _ = 1, 3 do w:outcome { type = "kid", thredId = id } end -- two are refused
  t.eq(#w:threds { pattern = "kid" }, 1)
  local kids = w:thred(id).state.children
  t.eq(#kids, 1)
  local due, step = w:thred(id).due, w:thred(id).step
  t.eq(w:outcome { type = "done", thredId = kids[1] }.outcome, "matched")
  t.eq(#w:thred(id).state.children, 0)
  t.eq({ w:thred(id).due, w:thred(id).step, w:thred(id).status }, { due, step, "active" })
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("$terminate with a child spawn: the child ends at once; a spawn and a termination go in order", function()
  local w = world.new()
  w:pattern(OTHER)
  w:pattern [[p.pattern "Brief" { p.reaction "a" { p.where { type = "go" } { spawn = { names = "Other",
    type = "child" }, transition = "$terminate" } } }]]
  w:outcome { type = "go" }
  t.eq(#w:threds { pattern = "other", status = "active" }, 0)
  t.eq(#world.task(function() return w.store:threds { pattern = "other", status = "terminated" }.items end), 1)
  w:close()
end)

t.test("spawn: context copies as it is then; an unknown name names pattern and reaction", function()
  local w = world.new()
  w:pattern(OTHER)
  w:pattern [[p.pattern "Sp" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.n = { 1 } end, transform = {
      title = "t" }, publish = "cid",
      spawn = { names = "other", type = "sibling", context = true }, transition = { name = "b", input = "forward" } } },
    p.reaction "b" { p.where { type = "go" } { on_true = function(e, thred) thred.n[1] = 2 end } },
    p.reaction "c" { p.where { type = "bad" } { spawn = { names = "Nowhere", type = "child" }, transition = "a" } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  local other = w:thred(w:threds { pattern = "other" }[1].id)
  t.eq(other.state.locals.n, { 1 })
  t.eq(json.encode(other.state.participants), '["cid"]')
  t.eq(w:thred(id).state.locals.n, { 2 })
  local o = w:outcome { type = "bad", thredId = id }
  t.eq(o.error.code, 5201)
  t.ok(o.error.message:find('pattern "Sp", reaction "c", spawn: there is no pattern "Nowhere"', 1, true),
    o.error.message)
  t.eq(w:dead()[1].reaction, "c")
  w:close()
end)

t.test("maxInstances and instanceInterval, for starts and spawns; a refused spawn is no error", function()
  local w = world.new()
  w:pattern [[p.pattern "Few" { max_instances = 2, p.reaction "a" { p.any { p.where { type = "go" } {}, p.where {
    type = "fail" } {
      on_true = function() error "no" end } } }, p.reaction "b" { p.where { type = "x" } {} } }]]
  w:pattern [[p.pattern "Slow" { instance_interval = "10s", p.reaction "a" { p.any { p.where { type = "slow" } {},
    p.where { type = "slowfail" } {
      on_true = function() error "no" end } } }, p.reaction "b" { p.where { type = "x" } {} } }]]
  w:pattern [[p.pattern "Mk" { p.reaction "a" { p.where { type = "mk" } { spawn = { names = "Few",
    type = "sibling" } } }, p.reaction "b" { p.where { type = "x" } {} } }]]
  for _ = 1, 5 do t.eq(w:outcome { type = "fail" }.outcome, "error") end -- a failed start gives its place back
  t.eq(w:outcome { type = "go" }.outcome, "matched")
  t.eq(w:outcome { type = "mk" }.outcome, "matched")
  t.eq(w:outcome { type = "go" }.outcome, "refused")
  local dead = #w:dead()
  local mk = w:outcome { type = "mk" }
  t.eq(mk.outcome, "matched")
  t.eq(#w:dead(), dead)
  t.eq(w:outcome { type = "slowfail" }.outcome, "error")
  t.eq(w:outcome { type = "slow" }.outcome, "matched") -- nor does it count for the interval
  t.eq(w:outcome { type = "slow" }.outcome, "refused")
  w:advance(10000)
  t.eq(w:outcome { type = "slow" }.outcome, "matched")
  w:close()
end)

t.test("maxInstances and instanceInterval hold across a restart", function()
  local dir = os.tmpname()
  os.remove(dir)
  runtime.mkdirs(dir)
  local w = world.new { url = "sqlite:" .. dir .. "/s.db" }
  w:pattern [[p.pattern "Few" { max_instances = 1, p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" {
    p.where { type = "x" } { transition = "$terminate" } } }]]
  w:pattern [[p.pattern "Slow" { instance_interval = "1h", p.reaction "a" { p.where { type = "slow" } {} },
    p.reaction "b" { p.where { type = "x" } {} } }]]
  local id = w:outcome { type = "go" }.threds[1]
  w:outcome { type = "slow" }
  w:restart()
  t.eq(w:outcome { type = "go" }.outcome, "refused")
  t.eq(w:outcome { type = "slow" }.outcome, "refused")
  w:outcome { type = "x", thredId = id }
  w:restart()
  t.eq(w:outcome { type = "go" }.outcome, "matched")
  w:close()
  os.execute("rm -r " .. dir)
end)

t.test("finished: gives its instance back, relays, archived finished_keep after its last event", function()
  local w = world.new()
  w:pattern [[p.pattern "Fin" { max_instances = 1, broadcast_allowed = true, finished_keep = "1h",
    p.reaction "a" { p.where { type = "go" } { transform = { title = "t" }, publish = "bob" } },
    p.reaction "b" { p.where { type = "end" } { transition = "$terminate" } } }]]
  local id = w:outcome { type = "go" }.threds[1]
  w:outcome { type = "end", thredId = id }
  t.eq(w:thred(id).status, "finished")
  t.eq(w:outcome { type = "go" }.outcome, "matched")
  w:advance(3000000)
  t.eq(w:outcome { type = "org.wt.client.broadcast", thredId = id, values = { message = "m" } }.outcome, "relayed")
  t.eq(w:outcome { type = "end", thredId = id }.outcome, "no_thred")
  w:advance(3000000)
  t.eq(w:thred(id).status, "finished")
  w:advance(700000)
  t.eq(w:thred(id).status, "terminated")
  w:close()
end)

t.test("ids: a started thred, a spawned one and every outgoing event, the position running on across forward", function()
  local w = world.new()
  w:pattern(OTHER)
  w:pattern [[p.pattern "Ids" {
    p.reaction "a" { p.where { type = "go" } { transform = { title = "1" }, publish = "ann", transition = {
      name = "b", input = "forward" } } },
    p.reaction "b" { p.where { type = "go" } { transform = { title = "2" }, publish = "ann", spawn = {
      names = "Other", type = "sibling" },
      transition = { name = "c", input = "forward" } } },
    p.reaction "c" { p.any { p.where { type = "go" } { transform = { title = "3" }, publish = "ann",
      transition = "$noTransition" },
      p.where { type = "bad" } { on_true = function() error "x" end } } } }]]
  local id = w:outcome { type = "go", id = "e1" }.threds[1]
  local key = w.store:key()
  t.eq(id, ids.started(key, "ids", "ann", "e1"))
  local got = w:received "ann"
  for i, position in ipairs { 1, 2, 4 } do t.eq(got[i].id, ids.emitted(key, id, 1, position)) end
  t.eq(w:threds { pattern = "other" }[1].id, ids.emitted(key, id, 1, 3))
  t.eq(w:outcome { type = "nothing", thredId = id }.outcome, "not_matched") -- takes a number
  w:outcome { type = "go", thredId = id }
  t.eq(w:received("ann")[1].id, ids.emitted(key, id, 3, 1))
  w:outcome { type = "bad", id = "e9", thredId = id } -- rolled back: takes none
  t.eq(w:received("ann")[1].id, ids.failure(key, "ann", "e9", "thred:" .. id))
  t.eq(w:thred(id).step, 3)
  w:close()
end)

t.test("the event's record lists all its threds; a duplicate is answered with them", function()
  local w = world.new()
  w:pattern [[p.pattern "A1" { p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" { p.where {
    type = "x" } {} } }]]
  w:pattern [[p.pattern "A2" { p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" { p.where {
    type = "x" } {} } }]]
  local first = w:outcome { type = "go", id = "e1" }
  local again = w:outcome { type = "go", id = "e1" }
  t.eq(again.outcome, "duplicate")
  table.sort(first.threds)
  table.sort(again.threds)
  t.eq(json.encode(again.threds), json.encode(first.threds))
  t.eq(#again.threds, 2)
  w:close()
end)

return t.finish()
