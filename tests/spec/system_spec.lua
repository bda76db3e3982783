-- SPDX-License-Identifier: MIT
-- Events for the system itself: who may ask with dataControl, what is answered, and that it is recorded.
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local world = require "world"

local FACTS = { participants = { root = { roles = { "admin" } }, ann = {}, bob = {} }, groups = {} }
local TYPE = "org.wt.control.dataControl"

local function start()
  local w = world.new { facts = FACTS }
  w:pattern [[p.pattern "Duo" {
    p.reaction "first" { p.where { type = "go" } { transform = { title = "hi" }, publish = "bob" } },
    p.reaction "second" { p.where { type = "on" } {} } }]]
  return w
end

local function control(w, tasks, source, id)
  local o = w:outcome { type = TYPE, thredId = "SYSTEM", source = source or "root", id = id,
    data = { content = { tasks = tasks } } }
  return o, w:received(source or "root")[1]
end

local function get(kind, matcher, more)
  local params = more or {}
  params.type, params.matcher = kind, matcher or {}
  return { op = "get", params = params }
end

t.test("an administrator asks and is answered", function()
  local w = start()
  local id = w:outcome { type = "go", id = "a1" }.threds[1]
  w:outcome { type = "wrong", id = "a2", thredId = id }
  local in_order = { collector = { sort = { { field = "n" } } }, selector = { include = { "outcome" } } }
  local o, e = control(w, { get("events", { threds = id }, in_order), { op = "count", params = { type = "threds", matcher = {} } } },
    "root", "q1")
  t.eq(o.outcome, "matched")
  t.eq({ e.type, e.re, e.thredId, e.source.id, e.causedBy, e.data.title },
    { "org.wt.tell", "q1", "SYSTEM", "SYSTEM", "q1", "SYSTEM Result" })
  local result = e.data.content.values.result
  t.eq({ result[1][1], result[1][3], #result[1], result[2] }, { { id = "a1", outcome = "matched" },
    { id = "a2", outcome = "not_matched" }, 3, 1 })
  t.eq(e.data.content.error, nil)
  w:close()
end)

t.test("each request leaves an audit record", function()
  local w = start()
  control(w, { get "events", json.array { get "threds", get "events" } }, "root", "q1")
  control(w, { get "audit" }, "ann", "q2")
  local _, e = control(w, { get("audit", nil, { collector = { sort = { { field = "n" } } } }) }, "root", "q3")
  local list = e.data.content.values.result[1]
  t.eq({ list[1].what, list[1].who, list[1].event, list[1].target, list[1].tasks, list[1].error },
    { "dataControl", "root", "q1", "events, threds", 3, nil })
  t.eq({ list[2].who, list[2].error.code, #list }, { "ann", 4101, 2 })
  w:close()
end)

t.test("nobody else may", function()
  local w = start()
  local o, e = control(w, { get "events" }, "ann", "q1")
  t.eq({ o.outcome, o.error.code, e.data.content.error.code, e.re }, { "error", 4101, 4101, "q1" })
  t.eq(e.data.content.values, nil)
  t.eq(select(2, control(w, { get "events" }, "stranger")), nil, "who is nobody isn't told")
  w.directory:register { id = "org.wt.robot1", type = "org.wt.robot", address = "admin" }
  t.eq(control(w, { get "events" }, "admin").error.code, 4101, "a service of that name is none")
  t.eq(control(w, { get "events" }, "org.wt.robot1").error.code, 4101)
  w:close()
  w = start()
  o, e = control(w, { { op = "count", params = { type = "patterns", matcher = {} } } }, "admin")
  t.eq({ o.outcome, e.data.content.values.result }, { "matched", { 1 } }, "the holder of the administrator's token")
  w:close()
end)

t.test("what can't be done is said", function()
  local w = start()
  local function wrong(tasks, code, text)
    local o, e = control(w, tasks)
    local err = e.data.content.error
    t.eq({ o.outcome, o.error.code, err.code }, { "error", code, code })
    t.ok(err.message:find(text, 1, true) or (err.cause or ""):find(text, 1, true), json.encode(err))
    return e.data.content.values
  end
  wrong(nil, 4202, "content.tasks")
  wrong({ op = "get" }, 4200, "tasks are a list")
  wrong({ { op = "delete", params = { type = "events", matcher = {} } } }, 4200, "can't be changed by a task")
  wrong({ get("event") }, 4200, "did you mean events?")
  wrong({ get("events", { ["$where"] = 1 }) }, 4200, "$where")
  local one = get "events"
  one.options = { dbname = "srvthreds" }
  wrong({ one }, 4101, "dbname")
  w:outcome { type = "go" }
  local two_lists = { sort = { { field = "log" }, { field = "threds" } } }
  local done = wrong({ { op = "count", params = { type = "threds", matcher = {} } }, get("events", nil, { collector = two_lists }) },
    5200, "tasks[1]: can't sort by two lists")
  t.eq(done.result, { 1 })
  w:close()
end)

t.test("answers keep the order of a source, and come once", function()
  local w = start()
  local ids = {}
  for i = 1, 5 do
    ids[i] = "q" .. i
    w:send { type = TYPE, thredId = "SYSTEM", source = "root", id = ids[i],
      data = { content = { tasks = { { op = "count", params = { type = i % 2 == 0 and "threds" or "events", matcher = {} } } } } } }
  end
  local re = {}
  for i, e in ipairs(w:received "root") do re[i] = e.re end
  t.eq(re, ids)
  local again = w:outcome { type = TYPE, thredId = "SYSTEM", source = "root", id = "q1",
    data = { content = { tasks = { { op = "count", params = { type = "events", matcher = {} } } } } } }
  t.eq(again.outcome, "duplicate")
  t.eq(#w:received "root", 0)
  w:close()
end)

t.test("a query that is under way when the store closes is forgotten", function()
  local w = start()
  world.task(function()
    local doc = require("srvthreds.session.accept").prepare({ type = TYPE, thredId = "SYSTEM", id = "q1",
      data = { content = { tasks = { get "events" } } } }, { id = "root" }, runtime.now())
    require("srvthreds.session.accept").queue(w.queue, doc, nil)
    w:shut()
  end)
  runtime.advance(0)
  t.eq(#w:received "root", 0)
end)

return t.finish()
