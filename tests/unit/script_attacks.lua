-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower hostile
-- Scripts that never end by themselves: each must be ended by its limits, with kind and place, while others go on.
local script = require "core.script"
local runtime = require "core.runtime"

local attacks = {}
local function attack(name, source, kinds) attacks[#attacks + 1] = { name = name, source = source, kinds = kinds or "cpu" } end

attack("plain", "while true do end")
attack("pcall loop", "while true do pcall(function() while true do end end) end")
attack("xpcall handler loop", "while true do xpcall(function() while true do end end, function() while true do end end) end")
attack("xpcall handler on error", "while true do xpcall(error, function() while true do end end) end")
attack("nested pcall", "local function f() pcall(f) while true do end end f() while true do end")
attack("pcall deep", "local function f(n) pcall(f, n + 1) end while true do pcall(f, 1) end")
attack("close loop", "while true do pcall(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end end) end")
attack("close many", [[
local mt = { __close = function() while true do end end }
local function f(n) local a <close>, b = setmetatable({}, mt), 1 local c <close> = setmetatable({}, mt) f(n + 1) end
while true do pcall(f, 1) end]], "cpu stack memory")
attack("close arms itself", [[
local mt = {}
mt.__close = function() local y <close> = setmetatable({}, mt) while true do end end
local x <close> = setmetatable({}, mt)
while true do end]])
attack("goto", "::a:: pcall(function() ::b:: goto b end) goto a")
attack("coroutine.wrap loop", "while true do pcall(coroutine.wrap(function() while true do end end)) end")
attack("coroutines ten deep", [[
local function n(d) if d == 0 then while true do end end local c = coroutine.create(n) while true do coroutine.resume(c, d - 1) end end
n(10)]])
attack("coroutine swarm", [[
local t = {}
while true do
  local c = coroutine.wrap(function() while true do coroutine.yield() end end)
  c() t[#t + 1] = c
  if #t > 2000 then for i = 1, #t do pcall(t[i]) end end
end]], "cpu memory")
attack("coroutine depth", "local function n() local c = coroutine.wrap(n) while true do pcall(c) end end n()", "cpu memory")
attack("coroutine.close loop", [[
while true do
  local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) coroutine.yield() end)
  coroutine.resume(c) pcall(coroutine.close, c)
end]])
attack("chain of closes", [[
local prev
for i = 1, 3000 do
  local p = prev
  local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() if p then coroutine.close(p) end end }) coroutine.yield() end)
  coroutine.resume(c) prev = c
end
coroutine.close(prev) while true do end]], "cpu memory")
attack("error with __tostring", [[
while true do
  pcall(function() error(setmetatable({}, { __tostring = function() while true do end end })) end)
  pcall(function() tostring(setmetatable({}, { __tostring = function() while true do end end })) end)
end]])
attack("uncaught error with __tostring", "error(setmetatable({}, { __tostring = function() while true do end end }))", "error")
attack("uncaught error with __index", "error(setmetatable({}, { __index = function() while true do end end }))", "error")
attack("__index", "while true do pcall(function() local t = setmetatable({}, { __index = function() while true do end end }) return t.x end) end")
attack("comparator", "while true do pcall(table.sort, { 1, 2, 3, 4, 5 }, function() while true do end end) end")
attack("__lt in sort", "local mt = { __lt = function() while true do end end } while true do pcall(table.sort, { setmetatable({}, mt), setmetatable({}, mt) }) end")
attack("gsub replacement", "while true do pcall(string.gsub, 'abc', '.', function() while true do end end) end")
attack("pcall inside gsub", "string.gsub('abc', '.', function() while true do pcall(function() while true do end end) end end) while true do end")
attack("__tostring", "while true do pcall(tostring, setmetatable({}, { __tostring = function() while true do end end })) end")
attack("__name", "local t = setmetatable({}, { __name = ('x'):rep(1000000) }) while true do tostring(t) end", "cpu memory")
attack("string arithmetic", "while true do pcall(function() return '10' + setmetatable({}, { __add = function() while true do end end }) end) end")
attack("iterator", "while true do pcall(function() for x in function() while true do end end do end end) end")
attack("__pairs", "while true do pcall(function() for x in pairs(setmetatable({}, { __pairs = function() while true do end end })) do end end) end")
attack("sort in coroutine in gsub in coroutine", [[
local function evil()
  while true do
    pcall(table.sort, { 3, 2, 1 }, function()
      local c = coroutine.wrap(function() while true do pcall(string.gsub, "a", "a", function() while true do end end) end end)
      while true do pcall(c) end
    end)
  end
end
local c = coroutine.wrap(evil) while true do pcall(c) end]])
attack("tail calls", "local function f() return f() end while true do pcall(f) end")
attack("no instructions", "local p = pcall while true do p(p, p, p, p, p, p, p, p, error) end")
attack("pcall as handler", "while true do xpcall(error, pcall) end")
attack("coroutine as __close", "while true do local x <close> = setmetatable({}, { __close = coroutine.wrap(function() while true do end end) }) end")
attack("library function over metamethods", "while true do pcall(table.concat, setmetatable({}, { __index = function() while true do end end, __len = function() return 5 end })) end")
attack("unbounded recursion", "local function f() return 1 + f() end f()", "stack")
attack("unbounded recursion that holds much", "local function f(n) return { n, f(n + 1) } end f(1)", "stack memory")
attack("recursion in a loop", "local function f() return 1 + f() end while true do pcall(f) end", "stack memory cpu")
attack("recursion through __index", "local t = {} setmetatable(t, { __index = function(t, k) return t[k + 1] end }) return t[1]", "stack")
attack("recursion in coroutines", "local function f() return coroutine.wrap(f)() end f()", "stack")
attack("nested pcalls uncaught", "local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()", "stack")

attack("memory: tables", "local t = {} while true do t[#t + 1] = {} end", "memory")
attack("memory: in pcall", "while true do pcall(function() local t = {} while true do t[#t + 1] = { 1, 2, 3 } end end) end", "memory")
attack("memory: doubling a text", "local s = 'x' while true do s = s .. s end", "memory")
attack("memory: doubling in pcall", "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end", "memory")
attack("memory: one table", "local t = {} for i = 1, 1e9 do t[i] = i end", "memory")
attack("memory: closures", "local t = {} while true do local u = #t t[#t + 1] = function() return u end end", "memory")
attack("memory: coroutines", "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end", "memory")
attack("log", "while true do log(('x'):rep(1000)) end", "error")
attack("log in pcall", "while true do pcall(log, ('x'):rep(1000)) end")
attack("memory: table.pack", "local function f(...) return f(table.pack(...), ...) end f(1)", "memory stack cpu error")
attack("memory: varargs", "local function f(...) return f(1, 2, 3, 4, 5, 6, 7, 8, ...) end f()", "memory stack cpu error")
attack("memory: concat", "local t = {} for i = 1, 1e5 do t[i] = ('x'):rep(100) end while true do local x = table.concat(t, '', 1, 1e4) t[#t + 1] = x end", "memory cpu")

attack("string.rep to 8 GiB", "return ('x'):rep(8 << 30)", "error")
attack("string.rep in a loop", "while true do pcall(string.rep, 'x', 8 << 30) end")
attack("string.rep of a separator", "return (''):rep(1 << 40, 'xx')", "error")
attack("format width", "while true do pcall(string.format, '%99999d', 1) end")
attack("format of long texts", "local s = ('x'):rep(1000000) return string.format(('%s'):rep(100), table.unpack((function() local t = {} for i = 1, 100 do t[i] = s end return t end)()))", "error")
attack("pattern bomb", "return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b')")
attack("pattern bomb: .-", "return (('a'):rep(1e5)):find(('.-'):rep(12) .. 'b')")
attack("pattern bomb: classes", "local set = '[' .. ('b'):rep(5e5) .. ']' return (('a'):rep(5e5)):find(set)")
attack("pattern bomb: classes repeated", "local set = '[^' .. ('b'):rep(5e5) .. ']*c' return (('a'):rep(5e5)):find(set)")
attack("pattern bomb in pcall", "while true do pcall(string.find, ('a'):rep(1e5), ('a*'):rep(20) .. 'b') end")
attack("pattern bomb: gsub", "return (('a'):rep(1e6)):gsub('.-b', '')")
attack("pattern bomb: gmatch", "for w in (('a'):rep(1e6)):gmatch('.-b') do end")
attack("pattern bomb: balance", "return (('('):rep(1e6)):find('%b()')")
attack("pattern bomb: back reference", "return (('a'):rep(5e5)):find('(.+)%1b')")
attack("plain find", "local s = ('a'):rep(1e6) while true do s:find(('a'):rep(5e5) .. 'b', 1, true) end")
attack("table.concat over nothing", "return table.concat(setmetatable({}, { __len = function() return 1 << 40 end, __index = function() return '' end }))")
attack("table.insert in a false length", "table.insert(setmetatable({}, { __len = function() return 1 << 40 end }), 1, 1)", "cpu memory")
attack("table.remove in a false length", "table.remove(setmetatable({}, { __len = function() return 1 << 40 end }), 1)", "cpu memory")
attack("table.move", "table.move({}, 1, 1 << 40, 2)", "cpu memory")
attack("table.unpack", "return table.unpack({}, 1, 1 << 30)", "error")
attack("table.unpack all", "while true do pcall(table.unpack, {}, 1, 99999) end")
attack("string.byte all", "local s = ('x'):rep(1000000) return s:byte(1, -1)", "error")
attack("sort of a false length", "table.sort(setmetatable({}, { __len = function() return 1 << 30 end }))", "cpu memory error")
attack("next in a large table", "local t = {} for i = 1, 20000 do t['k' .. i] = i end for k in next, t do end while true do end", "cpu memory")
attack("pairs of a large table", "local t = {} for i = 1, 1e5 do t['k' .. i] = i end while true do for k in pairs(t) do break end end", "cpu memory")
attack("tostring of many", "local t = {} while true do tostring(t) end")
attack("utf8", "local s = ('x'):rep(1000000) while true do utf8.len(s) end")
attack("string.pack", "return string.pack('c' .. (1 << 40), 'x')", "error memory")

local env = script.environment {}

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
for i, a in ipairs(attacks) do
  local fn = assert(script.load(a.source, "@attack.lua", env))
  worst = 0
  local cpu = cpu_ms()
  local ok, e = script.call({ seed = i, log = {} }, limits_of(a), fn)
  local took = cpu_ms() - cpu
  assert(not ok, a.name .. ": it ended by itself")
  assert((" " .. a.kinds .. " "):find(" " .. e.kind .. " ", 1, true), a.name .. ": " .. e.kind .. ": " .. e.message)
  assert(e.file == "attack.lua" and e.line >= 1 and e.message:find("attack.lua:", 1, true), a.name .. ": " .. e.message)
  assert(took < 5000, a.name .. ": " .. took .. " ms")
  runtime.sleep(2)
  assert(worst < 50 * slower, ("%s: the loop was kept %.1f ms"):format(a.name, worst))
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
    local ok, e = script.call({ seed = i }, nil, assert(script.load(source, "@deep.lua", env)))
    assert(not ok and e.kind == "stack", e.kind .. ": " .. e.message)
  end
end

-- Whoever was ended stays ended; the next script runs as if nothing had been.
local ok, sum = script.call({}, nil, assert(script.load("local s = 0 for i = 1, 100 do s = s + i end return s", "@after.lua", env)))
assert(ok and sum == 5050)
