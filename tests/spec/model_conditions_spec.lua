-- SPDX-License-Identifier: MIT
-- The model, §2: conditions, directives and what expressions see, in the words of the page.
local t = require "srvthreds.spec"
local json = require "core.json"
local world = require "world"

-- A world with one pattern; its thred started by `go`.
local function started(source, event)
  local w = world.new()
  w:pattern(source)
  local o = w:outcome(event or { type = "go" })
  return w, o.threds[1], o
end

t.test("and: every operand must match once, not necessarily on the same event", function()
  local w, id = started [[p.pattern "Nest" {
    p.reaction "start" { p.where { type = "go" } {} },
    p.reaction "wait" { p.all {
      p.where { type = "a" },
      p.all { p.where { type = "c" }, p.where { type = "d" }, p.all { p.where { type = "e" }, p.where {
        type = "f" } } },
    } { transform = { title = "done" }, publish = "ann", transition = "$noTransition" } } }]]
  for _ = 1, 2 do
    for _, kind in ipairs { "c", "e", "d", "f" } do t.eq(w:outcome { type = kind, thredId = id }.outcome, "partial",
      kind) end
    t.eq(w:outcome { type = "c", thredId = id }.outcome, "not_matched")
    t.eq(w:outcome { type = "a", thredId = id }.outcome, "matched")
    t.eq(next(w:thred(id).state.memory), nil)
  end
  t.eq(w:titles "ann", "done, done")
  w:close()
end)

t.test("and: what has matched is remembered while the thred stays in this reaction", function()
  local w, id = started [[p.pattern "Stay" {
    p.reaction "wait" { p.any {
      p.where { type = "go" } { transition = "wait" },
      p.where { type = "stay" } { transition = "$noTransition" },
      p.all { p.where { type = "a" }, p.where { type = "b" } } { transition = "end" } } },
    p.reaction "end" { p.where { type = "x" } {} } }]]
  w:outcome { type = "a", thredId = id }
  t.eq(w:outcome { type = "go", thredId = id }.outcome, "matched") -- by name: left and entered
  t.eq(w:outcome { type = "b", thredId = id }.outcome, "partial")
  t.eq(w:outcome { type = "stay", thredId = id }.outcome, "matched") -- neither
  t.eq(w:outcome { type = "a", thredId = id }.outcome, "matched")
  t.eq(w:thred(id).reaction, "end")
  w:close()
end)

t.test("or: operands in order, the first match wins; per directive, the deepest that has it counts", function()
  local w, id = started [[p.pattern "Or" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.any {
      p.where { type = "x" } { transform = { title = "first" } },
      p.where { type = "x" } { transform = { title = "second" } },
      p.any { p.where { type = "y" } { publish = "bob" }, p.where { type = "z" } {} } { transform = {
        title = "inner" } },
    } { transform = { title = "outer" }, publish = "ann", transition = "$noTransition" } } }]]
  for _, kind in ipairs { "x", "y", "z" } do w:outcome { type = kind, thredId = id } end
  t.eq(w:titles "ann", "first, inner")
  t.eq(w:titles "bob", "inner")
  w:close()
end)

t.test("onTrue runs bottom-up: an operand's before its parent's; once, when the operand first matches", function()
  local w, id = started [[p.pattern "Up" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.s = "" end } },
    p.reaction "b" { p.any { p.all {
        p.where { type = "x" } { on_true = function(e, thred) thred.s = thred.s .. "x" end },
        p.where { type = "y" } { on_true = function(e, thred) thred.s = thred.s .. "y" end },
      } { on_true = function(e, thred) thred.s = thred.s .. "&" end },
    } { on_true = function(e, thred) thred.s = thred.s .. "|" end, transition = "$noTransition" } } }]]
  for _, kind in ipairs { "y", "y", "x" } do w:outcome { type = kind, thredId = id } end
  t.eq(w:thred(id).state.locals.s, "yx&|")
  w:close()
end)

t.test("a source that is not allowed does not match; it is no error; also when the event is forwarded", function()
  local w, id, o = started [[p.pattern "Fwd" {
    p.reaction "a" { p.where { type = "go" } { transition = { name = "b", input = "forward" } } },
    p.reaction "b" { allowed_sources = { "/^CI/" }, p.where { type = "go" } { transition = "$terminate" } } }]]
  t.eq(o.outcome, "matched")
  t.eq(w:thred(id).reaction, "b")
  t.eq(w:outcome { type = "go", source = "bob", thredId = id }.outcome, "not_matched")
  t.eq(w:outcome { type = "go", source = "cid", thredId = id }.outcome, "matched")
  t.eq(#w:dead(), 0)
  w:close()
end)

t.test("a regular expression of allowed_sources that takes too long fails the step, soon, and says whose it is", function()
  local w, id = started [[p.pattern "Slow" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { allowed_sources = { "/^(a+)+$/" }, p.where { type = "go" } { transition = "$terminate" } } }]]
  local o = w:outcome { type = "go", source = ("a"):rep(60) .. "!", thredId = id }
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find("takes too long", 1, true) and o.error.message:find("(a+)+", 1, true), o.error.message)
  t.eq(w:thred(id).reaction, "b")
  t.eq(#w:dead(), 1)
  t.eq(w:dead()[1].reaction, "b")
  w:close()
end)

t.test("forward on and on is an error that names the reaction; nothing of the step stays", function()
  local w, id = started [[p.pattern "Loop" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "x" } { transform = { title = "x" }, publish = "ann", transition = {
      name = "b", input = "forward" } } } }]]
  local o = w:outcome { type = "x", thredId = id }
  t.eq(o.outcome, "error")
  t.ok(o.error.message:find('"Loop"', 1, true) and o.error.message:find('reaction "b"', 1,
    true) and o.error.message:find "more than 100 transitions")
  t.eq(#w:received "bob", 0)
  t.eq(w:thred(id).step, 1)
  w:close()
end)

t.test("publish: nested lists flatten, each recipient once; $all does not swallow the others", function()
  local w, id = started [[p.pattern "To" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "x" } { transform = { title = "t" }, publish = {
      to = function(event) return event.values.to end },
      transition = "$noTransition" } } }]]
  w.directory:connect("dee", 1)
  local function send(to) return w:outcome { type = "x", thredId = id, values = { to = to } }.outcome end
  t.eq(send { "ann", { "ann", { "$group0" }, json.array {} } }, "matched")
  t.eq(w:titles "ann", "t")
  t.eq(w:titles "bob", "t")
  t.eq(send(json.array {}), "matched")
  t.eq(send { "$all", "cid" }, "matched")
  t.eq(w:titles "dee" .. w:titles "cid", "tt")
  t.eq(w:titles "ann", "")
  t.eq(send { "nobody", "$nogroup", "cid" }, "matched") -- unknown: a warning, recorded
  t.eq(w:titles "cid", "t")
  local records = world.task(function() return w.store:records(id, {}) end)
  local rec = json.decode(records[#records].rec)
  t.eq(rec, { to = { "nobody", "$nogroup", "cid" }, people = { "cid" }, unknown = { "nobody" } })
  t.eq(world.task(function() return #w.store:inbox("nobody", nil, 10) end), 0)
  for _, wrong in ipairs { json.null, 5, { a = 1 }, { "ann", json.null } } do t.eq(send(wrong), "error") end
  t.eq(#w:dead(), 4)
  w:close()
end)

t.test("name keeps the outgoing event's id: isResponseFor; onPublish sees the outgoing event", function()
  local w, id = started [[p.pattern "Ask" {
    p.reaction "a" { p.where { type = "go" } { transform = { title = "q", content = { values = { n = 1 } } },
      publish = { to = "ann", name = "q", on_publish = function(event, thred, out)
        thred.out = out; thred.type = event.type; thred.n = out:value "n" end } } },
    p.reaction "b" { p.where { type = "between" } {} },
    p.reaction "c" { p.filter(function(event) return event:is_response_for "q" and not event:is_response_for "other" end)
      { transition = "$noTransition" } } }]]
  local q = w:received("ann")[1]
  local locals = w:thred(id).state.locals
  t.ok(json.equal(locals.out, q))
  t.eq({ locals.type, locals.n }, { "go", 1 })
  w:outcome { type = "between", thredId = id }
  t.eq(w:outcome { type = "x", thredId = id }.outcome, "not_matched")
  t.eq(w:outcome { type = "x", thredId = id, re = "zzz" }.outcome, "not_matched")
  t.eq(w:outcome { type = "x", thredId = id, re = q.id }.outcome, "matched")
  w:close()
end)

t.test("transform: nil makes a key vanish, p.null stays; nil in a list is an error with its path", function()
  local w, id = started [[p.pattern "T" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.s = "" end } },
    p.reaction "b" { p.any {
      p.where { type = "x" } { transform = { title = "t", content = { values = {
        b = function(e, thred) return nil end, a = function() return p.null end, c = { function() return 1 end,
          p.null },
        e = {}, f = p.array {} } } }, publish = "ann", transition = "$noTransition" },
      p.where { type = "y" } { transform = { content = { values = { list = { 1, function() return nil end } } } },
        publish = "ann" },
      p.where { type = "z" } { transform = function() return 5 end, publish = "ann" } } } }]]
  w:outcome { type = "x", thredId = id }
  local values = w:received("ann")[1].data.content.values
  t.eq(json.encode(values), '{"a":null,"c":[1,null],"e":{},"f":[]}')
  local e = w:outcome { type = "y", thredId = id }.error.message
  t.ok(e:find("content.values.list[2]", 1, true), e)
  t.ok(w:outcome { type = "z", thredId = id }.error.message:find "a transform gives a table")
  w:close()
end)

t.test("writing outside on_true is an error with file:line; the event is read-only at every depth", function()
  local w, id = started([[p.pattern "Ro" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.t = { u = { 1 } } end } },
    p.reaction "b" { p.any {
      p.filter(function(event, thred) if event.type == "f1" then
        thred.x = 1 end end) {},
      p.filter(function(event, thred) if event.type == "f2" then
        thred.t.u[1] = 2 end end) {},
      p.where { type = "f3" } { on_true = function(event)
        event.data.content.values.a = 1 end },
      p.where { type = "f4" } { transform = function(event, thred)
        thred.t.u = nil return {} end },
      p.where { type = "f5" } { on_true = function(event)
        event.type = "x" end },
      p.where { type = "f6" } { on_true = function(event, thred)
        thred.x = { y = function() end } end },
      p.where { type = "f7" } { on_true = function(event, thred)
        thred.t.x = tostring end },
      p.where { type = "f8" } { on_true = function(event, thred) thred.t.nan = 0/0 end },
      p.where { type = "f9" } { on_true = function(event, thred) thred.t.self = thred.t end },
    } } }]])
  local lines = { "test.lua:6", "test.lua:8", "test.lua:10", "test.lua:12", "test.lua:14" }
  local paths = { "thred.x.y", "thred.t.x", "thred.t.nan", "thred.t.self" }
  for i = 1, 9 do
    local o = w:outcome { type = "f" .. i, thredId = id, values = { a = 0 } }
    t.eq(o.outcome, "error", "f" .. i)
    local m = o.error.message
    t.ok(m:find('pattern "Ro", reaction "b"', 1, true), m)
    if lines[i] then t.ok(m:find(lines[i], 1, true), m) end
    if i > 5 then t.ok(m:find(paths[i - 5], 1, true), m) end
    if i > 5 then t.eq(o.error.code, 4200) end
  end
  t.eq(json.encode(w:thred(id).state.locals), '{"t":{"u":[1]}}')
  w:close()
end)

t.test("a filter returns true or false; nil counts as false; anything else is an error", function()
  local w, id = started [[p.pattern "F" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.filter(function(event) return event.values.v end) { transition = "$noTransition" } } }]]
  local function send(v) return w:outcome { type = "x", thredId = id, values = { v = v } }.outcome end
  t.eq({ send(true), send(false), send(nil), send(1), send "true", send(json.null) },
    { "matched", "not_matched", "not_matched", "error", "error", "error" })
  w:close()
end)

t.test("testing MUST NOT change anything: an error that names the reaction", function()
  local w = world.new()
  w:pattern [[p.pattern "Side" { p.reaction "first" { p.filter(function(event,
    thred) thred.x = 1 return true end) {} } }]]
  w:pattern [[p.pattern "Good" { p.reaction "a" { p.where { type = "go" } {} }, p.reaction "b" { p.where {
    type = "x" } {} } }]]
  local o = w:outcome { type = "go" }
  t.eq(o.outcome, "matched") -- one pattern's failure does not stop the others
  t.eq(#o.threds, 1)
  t.ok(o.error.message:find('reaction "first"', 1, true))
  t.eq(#w:dead(), 1)
  t.eq(#w:threds { pattern = "side" }, 0)
  w:close()
end)

t.test("payloads MUST survive unchanged, through locals and messages", function()
  local bytes = '{"a":[],"d":0.1,"e":1e300,"f":1.0,"i":9223372036854775807,"l":[[],{},null],"m":-9223372036854775808,'
    .. '"n":null,"o":{}}'
  local w, id = started([[p.pattern "Pay" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred) thred.v = e.values end } },
    p.reaction "b" { p.where { type = "x" } { on_true = function(e, thred) thred.w = thred.v end,
      transform = { content = { values = function(e, thred) return thred.w end } }, publish = "ann",
        transition = "$noTransition" } } }]],
    { type = "go", values = json.decode(bytes) })
  for _ = 1, 3 do w:outcome { type = "x", thredId = id } end
  local got = w:received "ann"
  t.eq(json.encode(got[3].data.content.values), bytes)
  w:close()
end)

t.test("pure: time and randomness come from the step; the same step gives the same bytes", function()
  local source = [[p.pattern "Rnd" {
    p.reaction "a" { p.where { type = "go" } { on_true = function(e, thred)
      thred.r = { math.random(1 << 40), math.random(1 << 40) } thred.t = os.time() thred.now = p.now() end } },
    p.reaction "b" { p.where { type = "x" } { on_true = function(e, thred)
      thred.r = math.random(1 << 40) end, transition = "$noTransition" } } }]]
  local w, id = started(source)
  local l = w:thred(id).state.locals
  t.ok(l.r[1] ~= l.r[2])
  t.eq(l.t, l.now // 1000)
  t.eq(l.now, w:thred(id).started)
  w:outcome { type = "x", thredId = id, values = {} }
  local script, env = require "core.script", {}
  local fn = script.load("return math.random(1 << 40)", "@x", script.environment(env))
  local _, again = world.task(function() return script.call({ now = 0, seed = id, number = 2, log = {} }, nil, fn) end)
  t.eq(w:thred(id).state.locals.r, again)
  w:close()
end)

t.test("pure: under test a step has the id and the random numbers that it will have", function()
  local step = require "srvthreds.engine.step"
  local w = world.new()
  w:pattern [[p.pattern "Pure" { p.reaction "a" { p.filter(function(e, thred)
    log(p.id(thred), p.step(thred), math.random(1 << 40)) return true end) {} },
    p.reaction "b" { p.where { type = "x" } {} } }]]
  local new, made = step.new, {}
  step.new = function(...)
    made[#made + 1] = new(...)
    return made[#made]
  end
  local id = w:outcome { type = "go" }.threds[1]
  step.new = new
  t.eq(#made, 2)
  t.eq(made[1].log[1], made[2].log[1])
  t.ok(made[1].log[1]:find(id .. " 1 ", 1, true))
  w:close()
end)

t.test("p.fail ends the step with an error event of its code", function()
  local w, id = started [[p.pattern "Fail" {
    p.reaction "a" { p.where { type = "go" } {} },
    p.reaction "b" { p.where { type = "x" } { on_true = function(e, thred) log "never" p.fail(4202,
      "the address is missing") end } } }]]
  local o = w:outcome { type = "x", id = "x1", thredId = id }
  t.eq(o.error.code, 4202)
  local e = w:received("ann")[1]
  t.eq({ e.type, e.re, e.thredId, e.source.id, e.causedBy }, { "org.wt.tell", "x1", id, "SYSTEM", "x1" })
  t.eq(e.data.title, "Failure processing Event x1 : " .. e.data.content.error.message)
  t.eq(e.data.content.error.code, 4202)
  t.eq(e.data.content.error.cause, nil) -- never a stack trace
  t.ok(e.data.content.error.message:find("the address is missing", 1, true))
  w:close()
end)

return t.finish()
