-- SPDX-License-Identifier: MIT
-- Bootstrap: a profile in a store, once; what a changed one does, and a reset.
local t = require "srvthreds.spec"
local docdb = require "core.docdb"
local runtime = require "core.runtime"
local bootstrap = require "srvthreds.bootstrap"
local directory = require "srvthreds.directory"
local fake_store = require "fake_store"
local live = require "srvthreds.live"
local patterns = require "srvthreds.engine.patterns"
local profile = require "srvthreds.profile"
local temp_folder = require "temp_folder"

local function task(fn)
  local result
  runtime.spawn(function() result = table.pack(pcall(fn)) end)
  for _ = 1, 100 do
    if result then break end
    runtime.advance(10)
  end
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

local function source(name, type)
  return ('return require "srvthreds.pattern".pattern "%s" { require "srvthreds.pattern".reaction "one" {\n'
    .. 'require "srvthreds.pattern".where { type = "%s" } { transform = { title = "t" }, publish = "ann" } } }\n')
    :format(name, type)
end

local function with(fn)
  return function()
    local folder, store = temp_folder.new(), fake_store.new()
    local function run(options)
      return task(function()
        return bootstrap(store, profile.load("mine", { folders = { folder.path }, shipped = "." }), options)
      end)
    end
    local ok, e = xpcall(fn, debug.traceback, folder, store, run)
    folder:close()
    if not ok then error(e, 0) end
  end
end

t.test("a profile is loaded once", with(function(folder, store, run)
  folder:write("mine/profile.lua", 'return { participants = { ann = { roles = { "boss" } } }, groups = { g = { "ann" } } }')
  folder:write("mine/patterns/a.lua", source("A", "go"))
  t.eq(bootstrap.loaded(store), nil)
  local r = run()
  t.eq(r, { profile = "mine", done = true, patterns = { "a" }, dropped = {}, participants = 1, groups = 1 })
  local d = directory.new()
  d:load(store)
  t.ok(d:has_role("ann", "boss") and d:is_member("g", "ann"))
  t.eq(bootstrap.loaded(store).name, "mine")
  t.eq(run().done, false)
  t.eq(store.puts, 1)
  local registry = patterns.new(store)
  task(function() registry:load() end)
  t.ok(registry:active "a")
end))

t.test("a bad pattern changes nothing, and all of them are named", with(function(folder, store, run)
  folder:write("mine/profile.lua", "return {}")
  folder:write("mine/patterns/a.lua", source("A", "go"))
  folder:write("mine/patterns/b.lua", "return {")
  folder:write("mine/patterns/c.lua", "return 5")
  folder:write("mine/patterns/d.lua", source("A", "go"))
  local e = t.raises(run, "b.lua")
  t.ok(e.message:find("c.lua", 1, true) and e.message:find("d.lua", 1, true))
  t.eq(store.puts, 0)
  t.eq(next(store.metas), nil)
end))

t.test("a changed profile brings new versions, not old ones back; a reset does", with(function(folder, store, run)
  folder:write("mine/profile.lua", "return {}")
  folder:write("mine/patterns/a.lua", source("A", "one"))
  folder:write("mine/patterns/b.lua", source("B", "b"))
  run()
  local one = store.active.a
  folder:write("mine/patterns/a.lua", source("A", "two"))
  t.eq(run().patterns, { "a" })
  local two = store.active.a
  local registry = patterns.new(store)
  local l = live.new { store = store, engine = { patterns = registry }, folders = {} }
  task(function() registry:load() l:start() l:rollback("a", one) end)
  l:close()
  folder:write("mine/patterns/c.lua", source("C", "c"))
  folder:remove "mine/patterns/b.lua"
  local r = run()
  t.eq(r.patterns, { "c" })
  t.eq(r.dropped, { "b" })
  t.eq(store.active.a, one)
  t.eq(run({ reset = true }).patterns, { "a" })
  t.eq(store.active.a, two)
  folder:write("mine/patterns/b.lua", source("B", "b"))
  t.eq(run().patterns, {})
  registry = patterns.new(store)
  l = live.new { store = store, engine = { patterns = registry }, folders = {} }
  task(function() registry:load() l:start() end)
  l:close()
  t.ok(registry:active "b") -- it is back
end))

local function count(db, kind, matcher)
  return task(function() return db:run { { op = "count", params = { type = kind, matcher = matcher or {} } } } end)[1]
end

t.test("set-up: once, if there is a database, and what it writes is there once", with(function(folder, _, run)
  local setup = [[return { setup = function(db)
    local ids = db:run { { op = "put", params = { type = "cars", values = { { owner = "ann" }, { owner = "bob" } } } } }
    db:run { { op = "put", params = { type = "log", values = { n = #ids[1] } } } }
  end }]]
  folder:write("mine/profile.lua", setup)
  local db = docdb.open { hosts = { { name = "default", url = "memory:" } }, databases = { "srvthreds" } }
  t.eq(run().done, true)
  t.eq(run({ db = db }).done, false, "it was there already")
  run { db = db, reset = true }
  t.eq(run({ db = db }).done, false)
  t.eq({ count(db, "cars"), count(db, "log", { n = 2 }) }, { 2, 1 })
  t.eq(run({ db = db, reset = true }).done, true) -- as if it had been cut off before it was done
  t.eq({ count(db, "cars"), count(db, "log") }, { 2, 1 })
  folder:write("mine/profile.lua", 'return { setup = function(db) db:run { { op = "put", params = { type = "x" } } } end }')
  t.raises(function() run { db = db } end, "setup of profile mine: tasks[0].params: put needs values")
  db:close()
end))

t.test("the indexes of a profile are declared, in order", with(function(folder, _, run)
  folder:write("mine/profile.lua", 'return { docdb = { indexes = { dogs = { "name" }, cars = { "owner", "at.lat" } } } }')
  local declared = {}
  run { db = { index = function(_, i) declared[#declared + 1] = i.type .. "/" .. i.field end } }
  t.eq(declared, { "cars/owner", "cars/at.lat", "dogs/name" })
end))

t.test("an index that a profile declares is used", with(function(folder, _, run)
  folder:write("mine/profile.lua", 'return { docdb = { indexes = { cars = { "owner" } } } }')
  local db = docdb.open { hosts = { { name = "default", url = "memory:" } }, databases = { "srvthreds" } }
  run { db = db }
  local full = {}
  for i = 2, 16 do full[i - 1] = "f" .. i end
  folder:write("mine/profile.lua", ('return { docdb = { indexes = { cars = { "owner", "%s" } } } }'):format(table.concat(full, '", "')))
  run { db = db } -- the first is there already: 16 of them are not too many
  t.raises(function() task(function() db:index { type = "cars", field = "one more" } end) end, "16")
  db:close()
end))

t.test("the shipped profiles can be bootstrapped", function()
  for _, name in ipairs { "ef-detection", "dev", "test" } do
    local store = fake_store.new()
    local r = task(function() return bootstrap(store, profile.load(name, { shipped = "." })) end)
    t.ok(r.done and #r.patterns > 0)
  end
end)

return t.finish()
