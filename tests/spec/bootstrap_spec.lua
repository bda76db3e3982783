-- SPDX-License-Identifier: MIT
-- Bootstrap: a profile in a store, once; what a changed one does, and a reset.
local t = require "srvthreds.spec"
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

t.test("the set-up function runs once, if there is a database", with(function(folder, _, run)
  folder:write("mine/profile.lua", "return { setup = function(db) db.n = (db.n or 0) + 1 end }")
  local db = {}
  run { db = db }
  run { db = db }
  t.eq(db.n, 1)
end))

t.test("the shipped profiles can be bootstrapped", function()
  for _, name in ipairs { "ef-detection", "dev", "test" } do
    local store = fake_store.new()
    local r = task(function() return bootstrap(store, profile.load(name, { shipped = "." })) end)
    t.ok(r.done and #r.patterns > 0)
  end
end)

return t.finish()
