-- SPDX-License-Identifier: MIT
-- What scripts of patterns, of agents and for documents see is what docs/sandbox.md lists, no more and no less, and none of
-- it can be changed.
local t = require "srvthreds.spec"
local docdb = require "core.docdb"
local json = require "core.json"
local runner = require "srvthreds.agent.runner"
local scripts = require "srvthreds.agent.scripts"
local script = require "core.script"
local seen = require "seen"
local world = require "world"

-- Names of "NAME kind" lines: those below `root.` without it, and `root` itself.
local function names(lines)
  local list = {}
  for _, line in ipairs(lines) do list[#list + 1] = line:match "^(%S+)" end
  table.sort(list)
  return list
end

local function below(list, prefix)
  local out = {}
  for _, name in ipairs(list) do
    if name:sub(1, #prefix) == prefix then out[#out + 1] = name:sub(#prefix + 1) end
  end
  table.sort(out)
  return out
end

local function same(found, listed, what)
  t.eq(table.concat(found, "\n"), table.concat(listed, "\n"), what)
end

-- All names, and the listed ones of several headings.
local function expect(found, headings, extra)
  local listed = {}
  for _, heading in ipairs(headings) do
    for _, name in ipairs(seen.listed(heading)) do listed[#listed + 1] = name end
  end
  for _, name in ipairs(extra) do listed[#listed + 1] = name end
  table.sort(listed)
  same(found, listed, table.concat(headings, ", "))
end

-- Runs the walk as a pattern's on_true; gives what it found.
local function in_pattern(roots)
  local w = world.new()
  w:pattern(([[(function()
    local null = p.null
    %s
    return p.pattern "Walk" { limits = { cpu = 2000 }, p.reaction "walk" { p.where { type = "walk" } {
      on_true = function(event, thred) thred.seen = p.array(walk(%s, { ROOT = true })) end,
    }, }, p.reaction "wait" { p.where { type = "never" } {} } }
  end)()]]):format(seen.WALK, roots))
  local o = w:outcome { type = "walk", data = { title = "t", advice = { title = "a" }, content = { values = { n = 1 } } } }
  t.ok(o.outcome == "matched", o.error and o.error.message)
  local found = names(w:thred(o.threds[1]).state.locals.seen)
  w:close()
  return found
end

t.test("patterns: the environment and p", function()
  local found = in_pattern '{ { "ENV", _ENV }, { "p", p } }'
  local env, all = below(found, "ENV."), {}
  for _, name in ipairs(env) do if name ~= "require" then all[#all + 1] = name end end
  expect(all, { "" }, {})
  local rest = { "require", "event", "thred" }
  for _, name in ipairs(seen.listed "Patterns see as well") do
    if name:find "^event%." then rest[#rest + 1] = name end
  end
  for _, name in ipairs(found) do if name == "p" or name:find "^p%." then rest[#rest + 1] = name end end
  table.sort(rest)
  same(rest, seen.listed "Patterns see as well", "Patterns see as well")
end)

t.test("patterns: the event", function()
  local found = in_pattern [[{ { "event", event }, { "event.value", event.value }, { "event.is_response_for", event.is_response_for },
    { "event.content", event.content }, { "event.values", event.values }, { "event.advice", event.advice } }]]
  local extra = {}
  for _, name in ipairs(seen.listed "Patterns see as well") do
    if name:find "^event" then extra[#extra + 1] = name end
  end
  local own = { "event.id", "event.type", "event.time", "event.source", "event.source.id", "event.data", "event.data.title",
    "event.data.advice", "event.data.advice.title", "event.data.content", "event.data.content.values",
    "event.data.content.values.n", "event.advice.title", "event.content.values", "event.content.values.n", "event.values.n" }
  for _, name in ipairs(own) do extra[#extra + 1] = name end
  table.sort(extra)
  same(found, extra, "the event")
end)

t.test("patterns: the thred shows its locals and takes nothing else", function()
  local w = world.new()
  w:pattern([[(function() ]] .. seen.WALK .. [[
    return p.pattern "Walk" { p.reaction "walk" { p.where { type = "walk" } { on_true = function(event, thred)
      thred.a = { b = 1 }
      for name, write in pairs {
        rawset = function() rawset(thred, "x", 1) end, setmetatable = function() setmetatable(thred, {}) end,
        key = function() thred[1] = 1 end, fn = function() thred.f = pairs end, thread = function() thred.c = coroutine.running() end,
        insert = function() table.insert(thred, 1) end,
      } do
        if pcall(write) then error(name .. " went through") end
      end
      local keys = {}
      for k in pairs(thred) do keys[#keys + 1] = k end
      thred.keys = p.array(keys)
      if getmetatable(thred) ~= false or next(thred) ~= nil or rawget(thred, "a") ~= nil then error "more than locals" end
    end, transition = "$noTransition" } } }
  end)()]])
  local o = w:outcome { type = "walk" }
  t.ok(o.outcome == "matched", o.error and o.error.message)
  t.eq(w:thred(o.threds[1]).state.locals.keys[1], "a")
  w:close()
end)

t.test("patterns: modules", function()
  local found = in_pattern '{ { "cjson", require "cjson" }, { "safe", require "cjson.safe" } }'
  local cjson = { "cjson" }
  for _, name in ipairs(seen.listed "The module cjson") do cjson[#cjson + 1] = name end
  for _, name in ipairs(seen.listed "The module cjson") do cjson[#cjson + 1] = (name:gsub("^cjson", "safe")) end
  cjson[#cjson + 1] = "safe"
  table.sort(cjson)
  same(found, cjson, "cjson")
end)

t.test("agents: environment, module, argument", function()
  local source = "local null\n" .. seen.WALK .. [[
    local agent = require "srvthreds.agent"
    return agent.agent "test" {
      tasks = { walk = function() return walk { { "ENV", _ENV }, { "agent", agent } } end },
      every = { "1h", function(a) error { message = table.concat(walk { { "a", a } }, "\n") } end },
    }]]
  local node = { id = "a1", config = { n = {} }, runner = {} }
  local spec = assert(world.task(function() return runner.load(node, source, "walk.lua") end))
  local ok, lines = world.task(function() return script.call({ now = 0, seed = 1 }, { cpu = 2000 }, spec.tasks.walk) end)
  t.ok(ok, not ok and lines.message)
  local found, env, rest = names(lines), {}, {}
  local base = {}
  for _, name in ipairs(seen.listed "") do base[name] = true end
  for _, name in ipairs(below(found, "ENV.")) do
    if base[name] then env[#env + 1] = name else rest[#rest + 1] = name end
  end
  expect(env, { "" }, {})
  for _, name in ipairs(found) do if name:find "^agent" then rest[#rest + 1] = name end end
  local own = {}
  for _, name in ipairs(rest) do if name ~= "config.n" then own[#own + 1] = name end end
  local listed = {}
  for _, name in ipairs(seen.listed "Agents see as well") do
    if not name:find "^a%f[%W]" then listed[#listed + 1] = name end
  end
  table.sort(own)
  same(own, listed, "Agents see as well")
end)

t.test("scripts for documents: environment and argument", function()
  local db = docdb.open { hosts = { { name = "default", url = "memory:" } }, databases = { "srvthreds" } }
  local all, base, own = scripts.new { docdb = db }, {}, {}
  local source = seen.WALK .. [[
    return { limits = { cpu = 2000 }, run = function(db) return walk { { "ENV", _ENV }, { "db", db } } end }]]
  local result = world.task(function()
    assert(all:reload("scripts/walk.lua", source))
    return db:run { { op = "run", params = { values = { script = "walk" } } } }
  end)
  for _, name in ipairs(seen.listed "") do base[name] = true end
  for _, name in ipairs(names(json.copy(result[1]))) do
    local plain = name:gsub("^ENV%.", "")
    if name ~= "ENV" and not base[plain] then own[#own + 1] = plain end
  end
  table.sort(own)
  same(own, seen.listed "Scripts for documents see as well", "Scripts for documents see as well")
  db:close()
end)

t.test("agents: what every is called with", function()
  local w = world.new()
  local agents = runner.new { store = w.store, queue = w.queue, directory = w.directory }
  world.task(function()
    agents:start { id = "a1", file = "walk.lua", config = { n = "x" }, source = "local null\n" .. seen.WALK .. [[
      return require("srvthreds.agent").agent "test" {
        every = { "1h", function(a)
          a:send { type = "walked", values = { seen = walk { { "a", a } } } }
        end, first = "1s" },
      }]] }
  end)
  w:pattern [[p.pattern "Walked" { p.reaction "walked" { p.where { type = "walked" } {
    on_true = function(event, thred) thred.seen = event.values.seen end, transition = "$noTransition" } } }]]
  w:advance(1500)
  local rows = w:threds {}
  t.eq(#rows, 1)
  local found, listed = names(w:thred(rows[1].id).state.locals.seen), { "a.config.n" }
  for _, name in ipairs(seen.listed "Agents see as well") do
    if name:find "^a%f[%W]" then listed[#listed + 1] = name end
  end
  table.sort(listed)
  same(found, listed, "a")
  agents:stop()
  w:close()
end)

t.test("writing a global names it and its line", function()
  local w = world.new()
  w:pattern [[p.pattern "Global" { p.reaction "go" { p.where { type = "go" } { on_true = function()
    local fine = 1
    leaked = fine
  end } } }]]
  t.ok(w:outcome { type = "go" }.error.message:find('test.lua:4: global "leaked" can\'t be assigned', 1, true))
  t.raises(function() w:pattern "(function() leaked = 1 end)()" end, 'global "leaked" can\'t be assigned')
  w:close()
end)

t.test("two patterns never see each other's writes", function()
  local load = require "srvthreds.pattern.load"
  local modules = { ["lib/shared.lua"] = "local shared = { n = 0, f = function() end } return shared" }
  local function pattern(name)
    return world.task(function()
      return assert(load.load(([[
local p = require "srvthreds.pattern"
local shared = require "lib.shared"
return p.pattern %q { p.reaction "r" { p.filter(function() shared.n = shared.n + 1 return shared.n end) } }]]):format(name),
        name .. ".lua", { modules = modules }))
    end)
  end
  local a, b = pattern "a", pattern "b"
  local function count(which)
    local _, n = world.task(function() return script.call({ now = 0, seed = 1 }, nil, which.reactions[1].condition.test) end)
    return n
  end
  t.eq({ count(a), count(a), count(b), count(a), count(b) }, { 1, 2, 1, 3, 2 })
end)

-- What one writes wherever it can, in everything that both reach, and what the other finds there.
local WRITES = [[(function()
  local held = require "lib.held"
  return p.pattern "Writes" { p.reaction "write" { p.where { type = "write" } { on_true = function()
    held.next() held.next()
    for _, t in ipairs { require "cjson", require "cjson.safe", string, table, math, utf8, coroutine, os, p, held, _ENV,
      getmetatable "" or {} } do
      pcall(function() t.written = 1 end)
      pcall(rawset, t, "written", 1)
      pcall(setmetatable, t, { __index = { written = 1 } })
      pcall(function() for k in pairs(t) do if k ~= "next" then t[k] = nil end end end)
    end
    local co = coroutine.running()
    pcall(function() getmetatable(co).__index = { written = 1 } end)
    pcall(function() getmetatable(p.null).__index = { written = 1 } end)
    pcall(function() getmetatable(p.array {}).written = 1 end)
  end } } }
end)()]]
local READS = [[(function()
  local held = require "lib.held"
  return p.pattern "Reads" { p.reaction "read" { p.where { type = "read" } { on_true = function(event, thred)
    local seen = {}
    for name, t in pairs { cjson = require "cjson", safe = require "cjson.safe", string = string, math = math, p = p, held = held,
      text = "" } do
      local there, value = pcall(function() return t.written end)
      if there and value ~= nil then seen[#seen + 1] = name end
      if type(t) == "table" and next(t) == nil then seen[#seen + 1] = name .. " is empty" end
    end
    local ok = pcall(function() return written end)
    if ok then seen[#seen + 1] = "a global" end
    thred.seen, thred.count = table.concat(seen, " "), held.next()
  end } } }
end)()]]
local HELD = 'local n = 0 return { next = coroutine.wrap(function() while true do n = n + 1 coroutine.yield(n) end end) }'

t.test("two patterns see nothing of each other's, wherever they write", function()
  local w = world.new()
  w:pattern(WRITES, nil, { ["lib/held.lua"] = HELD })
  w:pattern(READS, nil, { ["lib/held.lua"] = HELD })
  for _ = 1, 2 do
    local o = w:outcome { type = "write" }
    t.ok(o.outcome == "matched", o.error and o.error.message)
    o = w:outcome { type = "read" }
    t.ok(o.outcome == "matched", o.error and o.error.message)
    local locals = w:thred(o.threds[1]).state.locals
    t.eq(locals.seen, "")
    t.ok(locals.count <= 2, "what a coroutine holds is another's")
  end
  w:close()
end)

t.test("require reaches what is documented and nothing that the program has loaded", function()
  local tried = { "_G", "package", "io", "os", "debug", "string", "ffi", "../x", "lib/../x", "/etc/passwd", "" }
  for _, where in ipairs { package.loaded, package.preload } do
    for name in pairs(where) do tried[#tried + 1] = name end
  end
  table.sort(tried)
  local fine = { ["srvthreds.pattern"] = true, cjson = true, ["cjson.safe"] = true }
  local load = require "srvthreds.pattern.load"
  for _, name in ipairs(tried) do
    local _, problems = world.task(function()
      return load.load(("local ok, e = pcall(require, %q) error(ok and 'REACHED' or e, 0)"):format(name), "test.lua", {})
    end)
    local message = problems[1].message
    t.eq(message:find("REACHED", 1, true) ~= nil, fine[name] == true, name .. ": " .. message)
    t.ok(fine[name] or message:find("not found", 1, true) or message:find("module", 1, true), name .. ": " .. message)
  end
  t.ok(#tried > 30)
end)

return t.finish()
