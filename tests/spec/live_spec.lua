-- SPDX-License-Identifier: MIT
-- Live edit: what a saved, broken, moved, deleted file does to the store and the engine; what a start does.
local t = require "srvthreds.spec"
local runtime = require "core.runtime"
local fake_store = require "fake_store"
local live = require "srvthreds.live"
local patterns = require "srvthreds.engine.patterns"
local temp_folder = require "temp_folder"

local function task(fn)
  local result
  runtime.spawn(function() result = table.pack(pcall(fn)) end)
  for _ = 1, 100 do
    if result then break end
    runtime.advance(10)
  end
  assert(result, "the task still waits")
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

local function source(name, type, more)
  return ('local p = require "srvthreds.pattern"\nreturn p.pattern "%s" { %s p.reaction "one" {\n'
    .. '  p.where { type = "%s" } { transform = { title = "t" }, publish = "ann" } } }\n'):format(name, more or "", type)
end

local logged = {}
local function note(level)
  return function(message, fields) table.insert(logged, { level = level, message = message, fields = fields or {} }) end
end
local log = { info = note "info", warn = note "warn", error = note "error", debug = note "debug" }

local function said(level, text)
  for _, line in ipairs(logged) do
    if line.level == level and line.message:find(text, 1, true) then return line end
  end
end

-- A system on a folder; `store` is kept over restarts.
local function system(folder, store, options)
  logged = {}
  local registry = patterns.new(store)
  local l = live.new {
    store = store, engine = { patterns = registry }, folders = options and options.folders or { folder.path .. "/patterns" },
    agents = options and options.agents, agent_folders = options and options.agent_folders, log = log,
  }
  task(function()
    registry:load()
    l:start()
  end)
  return l, registry
end

local function scan(l) task(function() l:scan() end) end

local function with(fn)
  return function()
    local folder, open = temp_folder.new(), {}
    runtime.mkdirs(folder.path .. "/patterns")
    local store = fake_store.new()
    local ok, e = xpcall(fn, debug.traceback, folder, store, function(options)
      for _, l in ipairs(open) do l:close() end
      local l, registry = system(folder, store, options)
      open[#open + 1] = l
      return l, registry
    end)
    for _, l in ipairs(open) do l:close() end
    folder:close()
    if not ok then error(e, 0) end
  end
end

local function candidates(registry, type) return #registry:candidates { type = type, source = { id = "x" } } end

t.test("a saved file becomes active; the same content again changes nothing", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  folder:write("patterns/a_test.lua", "this is no pattern")
  folder:write("patterns/.#a.lua", "nor this")
  local l, registry = start()
  t.eq(store.active.a, registry.actives.a.version)
  t.eq(candidates(registry, "go"), 1)
  local first = store.active.a
  scan(l)
  t.eq(store.puts, 1)
  folder:write("patterns/a.lua", source("A", "went"))
  scan(l)
  t.ok(store.active.a ~= first)
  t.eq(candidates(registry, "go"), 0)
  t.eq(candidates(registry, "went"), 1)
  t.eq(said("info", "pattern reloaded").fields.version, store.active.a)
  folder:write("patterns/b.lua", source("B", "go"))
  scan(l)
  t.eq(candidates(registry, "go"), 1)
  folder:write("patterns/a.lua", source("A", "go")) -- a hash seen before
  scan(l)
  t.eq(store.active.a, first)
  t.eq(l:problems(), {})
end))

t.test("a bad file changes nothing and is explained", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  local first = store.active.a
  folder:write("patterns/a.lua", source("A", "go", "max_instance = 3,"))
  scan(l)
  t.eq(store.active.a, first)
  t.eq(registry.actives.a.version, first)
  local line = said("error", folder.path .. "/patterns/a.lua can't be used; version " .. first:sub(1, 12) .. " stays active")
  t.ok(line.message:find("max_instances", 1, true))
  t.eq(line.fields.pattern, "a")
  local problem = l:problems()[1]
  t.eq(problem.pattern, "a")
  t.eq(problem.file, folder.path .. "/patterns/a.lua")
  t.ok(problem.failed and problem.text:find("a.lua:2", 1, true))
  local count = #logged
  scan(l)
  t.eq(#logged, count) -- told once
  folder:write("patterns/a.lua", source("A", "went"))
  scan(l)
  t.eq(l:problems(), {})
  t.ok(store.active.a ~= first)
end))

t.test("one bad file among others stops none of them", with(function(folder, _, start)
  folder:write("patterns/a.lua", source("A", "go"))
  folder:write("patterns/b.lua", "return {")
  folder:write("patterns/c.lua", source("C", "go"))
  local _, registry = start()
  t.eq(candidates(registry, "go"), 2)
  t.ok(said("error", "b.lua can't be used; nothing has changed"))
  folder:write("patterns/a.lua", "return {")
  local l
  l, registry = start() -- bad at start: what the store has goes on
  t.eq(candidates(registry, "go"), 2)
  t.eq(l:problems()[1].pattern, "a")
  t.eq(said("warn", "no file"), nil)
  folder:remove "patterns/a.lua"
  scan(l)
  t.eq(candidates(registry, "go"), 1)
end))

t.test("a changed module changes the patterns that require it, and only those", with(function(folder, store, start)
  local with_lib = 'local geo = require "lib.geo"\n' .. source("A", "go", "description = geo.text,")
  folder:write("patterns/a.lua", with_lib)
  folder:write("patterns/b.lua", source("B", "go"))
  local l, registry = start()
  t.eq(registry.actives.a, nil) -- lib/ isn't there yet
  t.ok(l:problems()[1].text:find("lib.geo", 1, true))
  folder:write("patterns/lib/geo.lua", 'return { text = "one" }')
  scan(l)
  t.eq(registry.actives.a.description, "one")
  local a, b = store.active.a, store.active.b
  folder:write("patterns/lib/geo.lua", 'return { text = "two" }')
  scan(l)
  t.eq(registry.actives.a.description, "two")
  t.ok(store.active.a ~= a)
  t.eq(store.active.b, b)
  t.ok(store.rows[store.active.a].files["lib/geo.lua"])
  folder:write("patterns/lib/geo.lua", 'return { text = "three" }')
  registry = select(2, start()) -- it changed while nothing ran
  t.eq(registry.actives.a.description, "three")
  l, registry = start()
  t.eq(registry.actives.a.description, "three")
  folder:remove "patterns/lib/geo.lua"
  scan(l)
  t.eq(registry.actives.a.description, "three")
  t.ok(l:problems()[1].failed)
end))

t.test("the same id in two files is an error that names both", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  local first = store.active.a
  folder:write("patterns/copy.lua", source("A", "went"))
  folder:write("patterns/a.lua", source("A", "gone"))
  scan(l)
  t.eq(store.active.a, first)
  local text = l:problems()[1].text
  t.ok(text:find("patterns/a.lua and " .. folder.path .. "/patterns/copy.lua", 1, true))
  t.eq(#l:problems(), 2)
  t.eq(said("error", "is in several files").fields.pattern, "a")
  folder:remove "patterns/copy.lua"
  scan(l)
  t.eq(l:problems(), {})
  t.eq(candidates(registry, "gone"), 1)
end))

t.test("deleting a file stops new threds, also after a restart; putting it back starts them", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  local version = store.active.a
  folder:remove "patterns/a.lua"
  scan(l)
  t.eq(candidates(registry, "go"), 0)
  t.eq(registry:active "a", nil)
  t.ok(registry:version("a", version)) -- live threds go on
  l, registry = start()
  t.eq(candidates(registry, "go"), 0)
  folder:write("patterns/a.lua", source("A", "go"))
  scan(l)
  t.eq(candidates(registry, "go"), 1)
  folder:remove "patterns/a.lua"
  scan(l)
  folder:write("patterns/a.lua", source("A", "go"))
  l, registry = start() -- put back while nothing ran
  t.eq(candidates(registry, "go"), 1)
  t.ok(l)
end))

t.test("a renamed file is the same version", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  folder:remove "patterns/a.lua"
  folder:write("patterns/b.lua", source("A", "go"))
  scan(l)
  t.eq(store.puts, 1)
  t.eq(candidates(registry, "go"), 1)
end))

t.test("a file whose pattern changes its id ends the old one", with(function(folder, _, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  folder:write("patterns/a.lua", source("B", "go"))
  scan(l)
  t.eq(registry:active "a", nil)
  t.ok(registry:active "b")
end))

t.test("at start only a version that was never seen is taken: a rollback survives", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "one"))
  local l, registry = start()
  local one = store.active.a
  folder:write("patterns/a.lua", source("A", "two"))
  scan(l)
  local two = store.active.a
  t.raises(function() task(function() l:rollback("a", "12345678") end) end, "has no version")
  t.eq(task(function() return l:rollback("a", one:sub(1, 10)) end), one)
  t.eq(candidates(registry, "one"), 1)
  scan(l)
  t.eq(store.active.a, one) -- the file has not changed
  l, registry = start()
  t.eq(store.active.a, one)
  t.eq(candidates(registry, "one"), 1)
  local line = said("warn", "version " .. one:sub(1, 12) .. " is active")
  t.ok(line.message:find("patterns/a.lua is version " .. two:sub(1, 12), 1, true))
  folder:write("patterns/a.lua", source("A", "three"))
  l, registry = start()
  t.eq(candidates(registry, "three"), 1)
  folder:write("patterns/a.lua", source("A", "two"))
  scan(l)
  t.eq(store.active.a, two)
end))

t.test("disabled stays disabled, over a reload and a restart", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "one"))
  local l, registry = start()
  t.ok(task(function() return l:enable("a", false) end))
  t.eq(candidates(registry, "one"), 0)
  folder:write("patterns/a.lua", source("A", "two"))
  scan(l)
  t.eq(candidates(registry, "two"), 0)
  t.eq(store.enabled.a, false)
  l, registry = start()
  t.eq(candidates(registry, "two"), 0)
  t.ok(task(function() return l:enable("a", true) end))
  t.eq(task(function() return l:enable("a", true) end), false)
  t.eq(candidates(registry, "two"), 1)
  t.raises(function() task(function() l:enable("nope", true) end) end, "there is no pattern nope")
end))

t.test("what the store refuses is tried again", with(function(folder, store, start)
  local l, registry = start()
  store.broken = true
  folder:write("patterns/a.lua", source("A", "go"))
  scan(l)
  t.eq(candidates(registry, "go"), 0)
  t.ok(said("error", "reload of"))
  store.broken = false
  runtime.advance(1100)
  t.eq(candidates(registry, "go"), 1)
  t.ok(l)
end))

t.test("a change that is seen while it happens waits for a second look", with(function(folder, _, start)
  folder:write("patterns/a.lua", source("A", "go"))
  local l, registry = start()
  local function look() task(function() l:look() end) end
  folder:remove "patterns/a.lua" -- an editor replaces it
  look()
  t.eq(candidates(registry, "go"), 1)
  folder:write("patterns/a.lua", source("A", "went"):sub(1, 60)) -- half of it
  look()
  t.eq(candidates(registry, "go"), 1)
  folder:write("patterns/a.lua", source("A", "went"))
  look()
  t.eq(candidates(registry, "went"), 1)
  t.eq(said("error", ""), nil)
  folder:remove "patterns/a.lua"
  look()
  runtime.advance(200)
  t.eq(candidates(registry, "went"), 0)
  folder:write("patterns/b.lua", "return 1")
  look()
  t.eq(#l:problems(), 0)
  runtime.advance(200)
  t.eq(#l:problems(), 1)
end))

t.test("only the named files of a folder count", with(function(folder, store, start)
  folder:write("patterns/a.lua", source("A", "go"))
  folder:write("patterns/b.lua", source("B", "go"))
  start { folders = { { path = folder.path .. "/patterns", only = { ["b.lua"] = true } }, folder.path .. "/none" } }
  t.eq(store.active.a, nil)
  t.ok(store.active.b)
end))

t.test("a changed agent file is given to who runs it", with(function(folder, _, start)
  local given = {}
  local agents = { reload = function(_, file, text)
    given[#given + 1] = { file, text }
    if text == "bad" then return nil, "it is bad" end
    return text ~= "other"
  end }
  folder:write("agents/x.lua", "one")
  local l = start { agents = agents, agent_folders = { folder.path .. "/agents" } }
  t.eq(given, {})
  folder:write("agents/x.lua", "two")
  scan(l)
  t.eq(given, { { folder.path .. "/agents/x.lua", "two" } })
  t.ok(said("info", "agent reloaded"))
  folder:write("agents/x.lua", "bad")
  scan(l)
  t.ok(said("error", "the agent goes on as it was\nit is bad"))
  scan(l)
  t.eq(#given, 2)
end))

return t.finish()
