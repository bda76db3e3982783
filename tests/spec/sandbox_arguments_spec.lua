-- SPDX-License-Identifier: MIT
-- Every function that scripts see, called with values that do something when they are used, are endless, or are of another
-- kind: each call gives, raises, or is ended by the limits of its script; none runs on outside them.
local t = require "srvthreds.spec"
local build = require "core.build"
local json = require "core.json"
local load = require "srvthreds.pattern.load"
local runner = require "srvthreds.agent.runner"
local script = require "core.script"
local seen = require "seen"
local world = require "world"

local HOSTILE = os.getenv "SRVTHREDS_GC"
local SLOW = HOSTILE and 10 or build.build:find "sanitizer" and 4 or 1
local LONGEST = 4000 -- ms of CPU time, of which the file of an agent has 2000; what is not ended at all never comes back

local LOOP = "(function() while true do end end)"
-- Each is an expression.
local VALUES = {
  "setmetatable({ 'ann', id = 1 }, { __index = LOOP, __newindex = LOOP, __len = LOOP, __pairs = LOOP, __eq = LOOP, __lt = LOOP, "
    .. "__le = LOOP, __call = LOOP, __tostring = LOOP, __concat = LOOP, __name = 'x', __metatable = LOOP })",
  "setmetatable({}, { __index = function(_, k) return k end, __len = function() return 1 << 40 end })",
  "setmetatable({}, { __index = function(t) return t end, __pairs = function() return function() return 1, 2 end end })",
  "(function() local b = { 'ann' } for _ = 1, 60 do b = { b, a = b } end return b end)()",
  "(function() local c = {} c[1], c.a = c, c return c end)()",
  "(function() local c = {} for _ = 1, 20000 do c = { c } end return c end)()",
  "('x'):rep(1000000)", "'\\0'", "'\\xff'", "'(a*)*b'", "LOOP", "coroutine.wrap(LOOP)", "coroutine.create(LOOP)", "pairs", "_ENV", "string",
  "nil", "true", "0/0", "1/0", "math.mininteger", "1 << 60", "-1",
}
for i, value in ipairs(VALUES) do VALUES[i] = value:gsub("LOOP", function() return LOOP end) end

-- The ways to give one: V stands for it.
local CALLS = { "f(V)", "f(V, V, V)", "f('x', V)", "f('x', { V })", "f({ V })", "f({ x = V, type = V, [V] = V })", "f(event, V, V)",
  "f('x') { V }", "f('x') { x = V, limits = V, allowed_sources = V, name = V, tasks = { x = V }, every = { '1h', V } }",
  "f { type = 'x' } { on_true = V, publish = V, transform = V, transition = V }", "for _, x in f(V) do break end", "f()" }

-- Bodies that call it in all these ways: a value that ends what uses it in one body for each way.
local function bodies(name, value)
  local list, lines = {}, {}
  local head = ("local f, V = %s, %s\n"):format(name, value)
  for i, call in ipairs(CALLS) do lines[i] = ("pcall(function() %s end)"):format(call) end
  if not value:find("while true", 1, true) then return { head .. table.concat(lines, "\n") } end
  for i, line in ipairs(lines) do list[i] = head .. line end
  return list
end

-- Runs it in little time, or is ended.
local function within(what, fn)
  local began = os.clock()
  fn()
  local took = (os.clock() - began) * 1000
  t.ok(took < LONGEST * (HOSTILE and 10 or 1), ("%s took %.0f ms"):format(what, took))
end

local function functions(heading, prefix)
  local list = {}
  for _, name in ipairs(seen.listed(heading)) do
    if name:find(prefix) then list[#list + 1] = name end
  end
  t.ok(#list > 0, heading)
  return list
end

-- For each name and value: run(body). Where everything is collected again and again, for a few of them.
local function all(names, run)
  local n, every = 0, HOSTILE and 7 or 1
  for _, name in ipairs(names) do
    for _, value in ipairs(VALUES) do
      for _, body in ipairs(bodies(name, value)) do
        n = n + 1
        if n % every == 0 then within(body, function() run(body) end) end
      end
    end
  end
  t.ok(n > every, "nothing was run")
end

t.test("what every script sees", function()
  local env = script.environment { require = script.module, event = json.doc '{"a":1,"b":[1,{"c":2}]}', view = json.view { k = { 1 } } }
  local names = functions("", "")
  for _, name in ipairs { "cjson.encode", "cjson.decode", "(pairs { 1, 2 })", "(pairs { a = 1 })", "(pairs(event))", "(pairs(view))",
    "(pairs(math))", "(ipairs {})", "('aaa'):gmatch 'a'", "utf8.codes 'abc'", "coroutine.wrap(pcall)" } do names[#names + 1] = name end
  all(names, function(body)
    local fn = assert(script.load("local cjson = require 'cjson' " .. body, "@arguments.lua", env))
    world.task(function() return script.call({ now = 0, seed = 1 }, { cpu = 2 * SLOW, memory = 8 << 20 }, fn) end)
  end)
end)

t.test("what a pattern's file is written with", function()
  all(functions("Patterns see as well", "^p%."), function(body)
    local pattern, problems = world.task(function()
      return load.load("local p, event = require 'srvthreds.pattern', {} " .. body, "test.lua",
        { limits = { cpu = 2 * SLOW, memory = 8 << 20 } })
    end)
    t.ok(not pattern and not problems[1].message:find(" near ", 1, true), body)
  end)
end)

t.test("what a pattern's functions are given", function()
  local w = world.new()
  local names = functions("Patterns see as well", "^[pe][%.v]")
  for _, name in ipairs { "(pairs(event))", "(pairs(thred))", "function(x) thred.x = x end", "function(x) thred[x] = 1 end",
    "function(x, y) return event[x], event.data[y] end", "thred" } do names[#names + 1] = name end
  all(names, function(body)
    w:pattern(([[p.pattern "Arguments" { limits = { cpu = %d, memory = "8MB" }, p.reaction "go" { p.where { type = "go" } {
      on_true = function(event, thred) %s
      end } } }]]):format(2 * SLOW, body))
    t.ok(w:outcome { type = "go" }.outcome, body)
  end)
  w:close()
end)

t.test("what an agent's file is written with", function()
  local w = world.new()
  local agents = runner.new { store = w.store, queue = w.queue, directory = w.directory }
  local n = 0
  all({ "agent.agent 'x'", "agent.agent" }, function(body)
    world.task(function()
      pcall(agents.start, agents, { id = "bad", file = "test.lua", config = {},
        source = "local agent, event = require 'srvthreds.agent', {} " .. body })
    end)
  end)
  all({ "a.send", "function(...) return a:send(...) end" }, function(body)
    n = n + 1
    world.task(function()
      agents:start { id = "a" .. n, file = "test.lua", config = {}, source = ([[
        local agent = require "srvthreds.agent"
        return agent.agent "test" { limits = { cpu = %d, memory = 8 << 20 },
          every = { "1h", function(a) local event = {} %s
          end, first = "1s" } }]]):format(2 * SLOW, body) }
    end)
    w:advance(1500)
  end)
  agents:stop()
  w:close()
end)

return t.finish()
