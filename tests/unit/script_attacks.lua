-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower hostile
-- Scripts that never end by themselves: each must be ended by its limits, with kind and place, while others go on.
local json = require "core.json"
local script = require "core.script"
local runtime = require "core.runtime"

package.path = package.path .. ";tests/spec/?.lua"
local attacks = {}
for i, one in ipairs(require "attacks") do attacks[i] = { name = one.name, source = one.code, kinds = one.kinds } end
local function attack(name, source, kinds) attacks[#attacks + 1] = { name = name, source = source, kinds = kinds or "cpu" } end

-- Those of which nothing runs in a loop: what they ask for is refused, or is over at once.
attack("uncaught error with __tostring", "error(setmetatable({}, { __tostring = function() while true do end end }))", "error")
attack("uncaught error with __index", "error(setmetatable({}, { __index = function() while true do end end }))", "error")
attack("recursion in coroutines", "local function f() return coroutine.wrap(f)() end f()", "stack")
attack("nested pcalls uncaught", "local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()", "stack")
attack("closes in each other, uncaught", [[
  local function deep(n, f) if n == 0 then return f() end string.gsub("a", "a", function() deep(n - 1, f) end) end
  local function make(n)
    local inner, co = n > 1 and make(n - 1), nil
    co = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() if inner then deep(90, function() assert(coroutine.close(inner)) end) end end })
      coroutine.yield()
    end)
    coroutine.resume(co) return co
  end
  local co = make(99) error(select(2, coroutine.close(co)), 0)]], "stack cpu")
attack("log", "while true do log(('x'):rep(1000)) end", "error")
attack("string.rep to 8 GiB", "return ('x'):rep(8 << 30)", "error")
attack("string.rep of a separator", "return (''):rep(1 << 40, 'xx')", "error")
attack("format of long texts", "local s = ('x'):rep(1000000) return string.format(('%s'):rep(100), table.unpack((function() local t = {} for i = 1, 100 do t[i] = s end return t end)()))", "error")
attack("table.unpack", "return table.unpack({}, 1, 1 << 30)", "error")
attack("string.byte all", "local s = ('x'):rep(1000000) return s:byte(1, -1)", "error")
attack("sort of a false length", "table.sort(setmetatable({}, { __len = function() return 1 << 30 end }))", "cpu memory error")
attack("string.pack", "return string.pack('c' .. (1 << 40), 'x')", "error memory")
attack("a long format of pack", "return string.pack((' '):rep(100000))", "error")
attack("a long format of unpack", "return string.unpack((' '):rep(100000), 'x')", "error")
attack("a long format of packsize", "return string.packsize((' '):rep(100000))", "error")
for _, iterator in ipairs { "pairs { 1, 2, 3 }", "pairs { a = 1 }", "pairs(doc)", "pairs(view)" } do
  for _, argument in ipairs { "", "nil", "7", "'abc'", "pairs", "print or true" } do
    attack(iterator .. " of " .. argument, ("local f = %s return f(%s)"):format(iterator, argument), "error")
  end
end

local env = script.environment { require = script.module, print = false, doc = json.doc '{"a":1}', view = json.view { a = 1 } }

-- While an attack runs, somebody else counts for how long the loop was kept: in CPU time, so that other processes don't
-- count. The engine's own heap is there too.
local ballast = {}
for i = 1, hostile and 100 or 100000 do ballast[i] = { i } end
collectgarbage()
local worst, beating, stalls = 0, true, {}
runtime.spawn(function()
  while beating do
    local t = cpu_ms()
    runtime.sleep(1)
    local stall = cpu_ms() - t
    worst = math.max(worst, stall)
    stalls[#stalls + 1] = stall
  end
end)

local quick = { cpu = 40, wall = 30000, memory = 32 << 20 }
local roomy = { cpu = 5000, wall = 30000, memory = 32 << 20 } -- where memory or the stack must be what ends it
local small = { cpu = 5000, wall = 30000, memory = 2 << 20 } -- a collection every 200 objects takes as long as there is memory
local function limits_of(a)
  if hostile and a.kinds == "memory" then return small end
  return a.kinds:find("cpu", 1, true) and quick or roomy
end

-- For how long others were kept while it ran.
local function run(a, seed)
  local fn = assert(script.load(a.source, "@attack.lua", env))
  worst = 0
  local cpu = cpu_ms()
  local ok, e = script.call({ seed = seed, log = {} }, limits_of(a), fn)
  local took = cpu_ms() - cpu
  assert(not ok, a.name .. ": it ended by itself")
  assert((" " .. a.kinds .. " "):find(" " .. e.kind .. " ", 1, true), a.name .. ": " .. e.kind .. ": " .. e.message)
  assert(e.file == "attack.lua" and e.line >= 1 and e.message:find("attack.lua:", 1, true), a.name .. ": " .. e.message)
  assert(took < 5000, a.name .. ": " .. took .. " ms")
  runtime.sleep(2)
  return worst
end

for i, a in ipairs(attacks) do
  local kept = run(a, i)
  for _ = 1, 3 do -- caches and pages that others use make it up to twice as long
    if kept >= 50 * slower then kept = math.min(kept, run(a, i)) end
  end
  assert(kept < 100 * slower, ("%s: the loop was kept %.1f ms"):format(a.name, kept))
end
beating = false
runtime.sleep(3)
assert(#ballast > 0)
table.sort(stalls)
assert(stalls[#stalls * 99 // 100] < 20 * slower, stalls[#stalls * 99 // 100])

-- Recursion is told from a lack of memory under the limits that everybody has.
for i = 1, 5 do
  for _, source in ipairs { "local function f() return 1 + f() end f()",
    "local function f(a, b, c, d, e) local r = f(b, c, d, e, a) return r end f(1)" } do
    local ok, e = script.call({ seed = i }, slower > 1 and { cpu = 2000 } or nil, assert(script.load(source, "@deep.lua", env)))
    assert(not ok and e.kind == "stack", e.kind .. ": " .. e.message)
  end
end

-- Whoever was ended stays ended; the next script runs as if nothing had been.
local ok, sum = script.call({}, nil, assert(script.load("local s = 0 for i = 1, 100 do s = s + i end return s", "@after.lua", env)))
assert(ok and sum == 5050)
