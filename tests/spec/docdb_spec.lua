-- SPDX-License-Identifier: MIT
-- core.docdb from Lua, and the persistence agent: what it answers, and that an event that comes again writes nothing twice.
local t = require "srvthreds.spec"
local docdb = require "core.docdb"
local json = require "core.json"
local runtime = require "core.runtime"
local runner = require "srvthreds.agent.runner"
local world = require "world"

local function open(options)
  options = options or {}
  options.hosts = { { name = "default", url = "memory:" }, { name = "second", url = "memory:" } }
  options.databases = { "srvthreds", "other" }
  return docdb.open(options)
end

local function task(op, params, more)
  local one = more or {}
  one.op, one.params = op, params
  params.type = params.type or "cars"
  return one
end

t.test("tasks from Lua", function()
  local db = open()
  local ids, none = world.task(function() return db:run { task("put", { values = { { id = "a", n = 1 }, { id = "b", n = 2 } } }) } end)
  t.eq(json.encode(ids), '[["a","b"]]')
  t.eq(none, nil)
  local cars = world.task(function() return db:run { task("get", { matcher = { n = { ["$gt"] = 1 } } }) } end)
  t.eq(cars[1][1].id, "b")
  t.eq(cars[1][1].created, "2026-09-21T14:13:20.000Z")
  t.eq(json.encode(world.task(function() return db:run '[{"op":"count","params":{"type":"cars","matcher":{}}}]' end)), "[2]")
  db:close()
  t.raises(function() world.task(function() db:run {} end) end, "closed")
end)

t.test("failures say which task", function()
  local db = open()
  local function run(tasks) return world.task(function() return db:run(tasks) end) end
  local result, failure = run { task("count", { matcher = {} }), { op = "get", name = "mine", params = { type = "cars" } } }
  t.eq(result, nil)
  t.eq({ failure.code, failure.item, failure.name, failure.done }, { 4202, 1, "mine", 0 })
  result, failure = run {
    task("put", { values = { id = "a" } }),
    json.array { task("put", { values = { id = "b" } }), task("put", { values = { id = "a" } }, { name = "again" }) },
    task("put", { values = { id = "c" } }),
  }
  t.eq(json.encode(result), '["a"]')
  t.eq({ failure.code, failure.item, failure.inner, failure.name, failure.done }, { 5202, 1, 1, "again", 1 })
  for options, code in pairs { [{ hostString = "evil:1" }] = 4101, [{ dbname = "admin" }] = 4101, [{ dbname = 1 }] = 4200 } do
    failure = select(2, run { task("count", { matcher = {} }, { options = options }) })
    t.eq(failure.code, code)
  end
  local apart = json.array { task("count", { matcher = {} }), task("count", { matcher = {} }, { options = { dbname = "other" } }) }
  failure = select(2, run { apart })
  t.eq(failure.code, 4200)
  db:close()
end)

t.test("numbers in a path through lists in lists are looked for once each", function()
  local db = open()
  local deep = { leaf = 7 }
  for _ = 1, 30 do deep = json.array { { ["0"] = deep } } end -- two ways in at each level: 2^30 in all
  world.task(function() return db:run { task("put", { values = { id = "deep", a = deep } }) } end)
  local function count(parts, value)
    return world.task(function() return db:run { task("count", { matcher = { ["a" .. (".0"):rep(parts) .. ".leaf"] = value } }) } end)[1]
  end
  t.eq({ count(45, 8), count(45, 7), count(60, 7), count(29, 7) }, { 0, 1, 1, 0 })
  db:close()
end)

t.test("hosts and databases are apart", function()
  local db = open()
  local function run(op, params, options) return world.task(function() return db:run { task(op, params, { options = options }) } end)[1] end
  run("put", { values = { id = "a" } })
  run("put", { values = { id = "a" } }, { dbname = "other" })
  t.eq(run("count", { matcher = {} }, { hostString = "second" }), 0)
  t.eq(run("count", { matcher = {} }, { hostString = "default", dbname = "other" }), 1)
  db:close()
end)

t.test("a mark: once only", function()
  local db = open()
  local tasks = { task("put", { values = { n = 1 } }), task("count", { matcher = {} }), task("upsert", { matcher = { id = "n" },
    values = { ["$inc"] = { n = 1 } } }) }
  local function run(mark) return json.encode(world.task(function() return db:run(tasks, { mark = mark }) end)) end
  local first = run "event 1"
  t.eq(run "event 1", (first:gsub(",1,", ",2,", 1)), "what reads reads again, what writes says what it said")
  t.ok(run "event 2" ~= first)
  local n = world.task(function() return db:run { task("getOne", { matcher = { id = "n" } }) } end)[1].n
  t.eq(n, 2)
  db:close()
end)

t.test("an index gives the same", function()
  local db = open()
  local function run(op, params) return world.task(function() return db:run { task(op, params) } end)[1] end
  local cars = {}
  for i = 1, 100 do cars[i] = { id = "c" .. i, n = i % 10, tags = { "t" .. i % 3, "u" } } end
  run("put", { values = cars })
  local before = run("count", { matcher = { n = { ["$gte"] = 7 }, tags = "t1" } })
  world.task(function() db:index { type = "cars", field = "n" } end)
  world.task(function() db:index { type = "cars", field = "tags" } end)
  t.eq(run("count", { matcher = { n = { ["$gte"] = 7 }, tags = "t1" } }), before)
  t.eq(run("update", { matcher = { n = 7 }, values = { n = 8 } }).matched, 10)
  t.eq(run("count", { matcher = { n = 7 } }), 0)
  t.eq(run("count", { matcher = { n = 8 } }), 20)
  t.eq(run("delete", { matcher = { tags = { ["$in"] = json.array { "t0", "t1" } } } }), 67)
  t.eq(run("count", { matcher = { tags = "u" } }), 33)
  db:close()
end)

local STORES = [[p.pattern "Stores" {
  p.reaction "ask" { p.where { type = "store" } {
    transform = { content = { tasks = function(event) return event:value "tasks" end } },
    publish = { to = "org.wt.persistence1", name = "task" } } },
  p.reaction "answered" { p.where { type = "org.wt.persistence" } {
    transform = { title = "answered", content = { values = function(event) return event.content.values end } },
    publish = "ann", transition = "$noTransition" } },
}]]

local function last(w)
  local got = w:received "ann"
  return got[#got].data.content
end

t.test("an agent may write more than once for a message", function()
  local w, db = world.new(), open()
  local agents = runner.new { store = w.store, queue = w.queue, directory = w.directory, docdb = db }
  world.task(function()
    agents:start { id = "org.wt.persistence1", file = "twice.lua", source = [[
      local docdb = require "srvthreds.docdb"
      return require "srvthreds.agent".agent "org.wt.persistence" { on_event = function(event)
        local ids = {}
        for _, id in ipairs { "first", "second" } do
          local values, e = docdb.run({ { op = "put", params = { type = "cars", values = { id = id } } } }, event)
          if e then return nil, e end
          ids[#ids + 1] = values.result[1]
        end
        return { result = ids }
      end }]] }
  end)
  w:pattern(STORES)
  w:outcome { type = "store", values = { tasks = {} } }
  w:advance(10)
  t.eq(json.encode(last(w).values.result), '["first","second"]')
  t.eq(world.task(function() return db:run { task("count", { matcher = {} }) } end)[1], 2)
  agents:stop()
  db:close()
  w:close()
end)

t.test("the agent's answers", function()
  local w, db = world.new(), open()
  local agents = runner.new { store = w.store, queue = w.queue, directory = w.directory, docdb = db }
  world.task(function()
    agents:start { id = "org.wt.persistence1", file = "agents/persistence.lua",
      source = runtime.read_file "agents/persistence.lua" }
  end)
  w:pattern(STORES)
  local function ask(tasks)
    w:outcome { type = "store", values = { tasks = tasks } }
    w:advance(10)
    return last(w)
  end
  t.eq(json.encode(ask { task("put", { values = { id = "a" } }), task("count", { matcher = {} }) }.values.result), '["a",1]')
  local e = ask { task("put", { values = { id = "b" } }), task("put", { values = { id = "a" } }, { name = "again" }) }.error
  t.eq({ e.code, e.cause }, { 5200, '5202 tasks[1] "again": cars: there is a document with the id a already' })
  t.eq(e.message, "a task failed, 1 done before it")
  e = ask { task("get", { matcher = { ["$where"] = "1" } }) }.error
  t.eq({ e.code, e.cause }, { 4200, "tasks[0]" })
  t.ok(e.message:find("tasks[0].params.matcher.$where", 1, true), e.message)
  agents:stop()
  db:close()
  w:close()
end)

return t.finish()
