-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- Scripts that never end, take everything, or break what calls them, as the body of a function. Each ends by its limits, in
-- whatever function of a pattern or agent it stands. says: what of the message tells which limit; "limit" is any of them.

local attacks = {}
local function add(name, code, says) attacks[#attacks + 1] = { name = name, code = code, says = says or "limit" } end
local LOOP = "function() while true do end end"
local function loops(name, code) add(name, (code:gsub("LOOP", LOOP)), "CPU time|in one piece") end

-- time
loops("loop", "while true do end")
loops("goto", "::again:: goto again")
loops("pcall loop", "while true do pcall(LOOP) end")
loops("xpcall handler", "while true do xpcall(error, LOOP) end")
loops("nested pcalls", "local function f() pcall(f) while true do end end f()")
loops("pcall of pcall", "local q = pcall while true do q(q, q, q, q, q, error) end")
loops("coroutine", "while true do pcall(coroutine.wrap(LOOP)) end")
loops("coroutines ten deep", [[local function n(d) if d == 0 then while true do end end
  local c = coroutine.create(n) while true do coroutine.resume(c, d - 1) end end n(10)]])
loops("coroutine.close", [[while true do
  local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = LOOP }) coroutine.yield() end)
  coroutine.resume(c) pcall(coroutine.close, c) end]])
loops("__close", "while true do local x <close> = setmetatable({}, { __close = LOOP }) end")
loops("__close while it is ended", "local x <close> = setmetatable({}, { __close = LOOP }) while true do end")
loops("__tostring", "while true do pcall(tostring, setmetatable({}, { __tostring = LOOP })) end")
loops("__index", "local t = setmetatable({}, { __index = LOOP }) while true do pcall(function() return t.x end) end")
loops("__eq", "local mt = { __eq = LOOP } while true do pcall(function() return setmetatable({}, mt) == setmetatable({}, mt) end) end")
loops("__concat", "local t = setmetatable({}, { __concat = LOOP }) while true do pcall(function() return t .. 'x' end) end")
loops("__len in a library", "local t = setmetatable({}, { __len = LOOP }) while true do pcall(table.concat, t) end")
loops("__call as an iterator", "while true do for _ in setmetatable({}, { __call = LOOP }) do end end")
loops("__pairs", "while true do for _ in pairs(setmetatable({}, { __pairs = LOOP })) do end end")
loops("iterator", "while true do for _ in LOOP do end end")
loops("comparator", "while true do pcall(table.sort, { 3, 2, 1 }, LOOP) end")
loops("__lt of a sort", "local mt = { __lt = LOOP } while true do pcall(table.sort, { setmetatable({}, mt), setmetatable({}, mt) }) end")
loops("gsub replacement", "while true do pcall(string.gsub, 'abc', '.', LOOP) end")
loops("sort in a coroutine in gsub", [[while true do pcall(string.gsub, "a", "a", function()
  coroutine.wrap(function() table.sort({ 2, 1 }, LOOP) end)() end) end]])
loops("error object", "while true do pcall(error, setmetatable({}, { __tostring = LOOP, __index = LOOP, __name = 'x' })) end")
loops("string arithmetic", "while true do pcall(function() return '1' + setmetatable({}, { __add = LOOP }) end) end")

-- memory
add("tables", "local t = {} while true do t[#t + 1] = { 1, 2, 3 } end", "bytes")
add("tables in pcall", "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end", "bytes")
add("a text doubled", "local s = 'x' while true do s = s .. s end", "bytes")
add("a text doubled in pcall", "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end", "limit")
add("closures", "local t = {} while true do local u = #t t[#t + 1] = function() return u end end", "bytes")
add("coroutines", "local t = {} while true do t[#t + 1] = coroutine.create(pcall) end", "bytes")
loops("log", "while true do pcall(log, ('x'):rep(1000)) end")
add("varargs", "local function f(...) return f(1, 2, 3, 4, 5, 6, 7, 8, ...) end while true do pcall(f) end", "limit")
add("one large table", "local t = {} for i = 1, 1e9 do t[i] = i end", "bytes")

-- depth
add("recursion", "local function f() return 1 + f() end while true do pcall(f) end", "limit|calls in each other")
add("recursion through __index", "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) while true do pcall(function() return t[1] end) end",
  "limit|calls in each other")
add("recursion in coroutines", "local function f() return pcall(coroutine.wrap(f)) end while true do f() end", "limit")

-- C functions that would take long
loops("pattern", "while true do pcall(string.find, ('a'):rep(1e5), ('a*'):rep(20) .. 'b') end")
loops("pattern of classes", "local set = '[^' .. ('b'):rep(5e4) .. ']*c' while true do (('a'):rep(1e5)):find(set) end")
loops("balance", "while true do (('('):rep(1e5)):find('%b()') end")
loops("gmatch", "while true do for _ in (('a'):rep(1e5)):gmatch('.-b') do end end")
loops("plain find", "local s = ('a'):rep(1e5) while true do s:find(('a'):rep(5e4) .. 'b', 1, true) end")
loops("rep", "while true do pcall(string.rep, 'x', 1 << 40) pcall(string.rep, 'x', 1 << 16) end")
loops("rep of nothing", "while true do (''):rep(1 << 60) end")
loops("format", "while true do pcall(string.format, ('%s'):rep(100), table.unpack({}, 1, 100)) end")
loops("concat", "local t = {} for i = 1, 1000 do t[i] = 'x' end while true do table.concat(t) end")
loops("concat over nothing", "while true do pcall(table.concat, setmetatable({}, { __len = function() return 1 << 40 end, __index = function() return '' end })) end")
loops("move", "while true do table.move({}, 1, 1 << 40, 2) end")
loops("remove", "table.remove(setmetatable({}, { __len = function() return 1 << 40 end }), 1)")
loops("unpack", "while true do pcall(table.unpack, {}, 1, 5000) end")
loops("next", "local t = {} for i = 1, 1000 do t['k' .. i] = i end while true do for _ in next, t do end end")
loops("utf8", "local s = ('x'):rep(1e5) while true do utf8.len(s) end")
loops("pack", "while true do string.pack('c1000', '') end")
loops("JSON of a bush", "local t = {} for _ = 1, 60 do t = { a = t, b = t } end while true do pcall(require('cjson').encode, t) end")
loops("JSON read", "local text = '[' .. ('[],'):rep(1000) .. '1]' while true do require('cjson').decode(text) end")

return attacks
