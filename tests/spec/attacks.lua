-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- Scripts that never end, take everything, or break what calls them, as the body of a function. Each ends by its limits, in
-- whatever function of a pattern or agent it stands. kinds: of the limits that it may be; says: one of these is in the message.

local SAYS = { cpu = { "CPU time", "in one piece", "in one instruction" }, memory = { "bytes" }, stack = { "calls in each other" } }

local attacks = {}
local function add(name, code, kinds)
  local attack = { name = name, code = code, kinds = kinds or "cpu memory", says = {} }
  for kind in attack.kinds:gmatch "%a+" do table.move(SAYS[kind], 1, #SAYS[kind], #attack.says + 1, attack.says) end
  attacks[#attacks + 1] = attack
end
local LOOP = "function() while true do end end"
local function loops(name, code) add(name, (code:gsub("LOOP", LOOP)), "cpu") end

-- time
loops("loop", "while true do end")
loops("goto", "::again:: goto again")
loops("pcall loop", "while true do pcall(LOOP) end")
loops("xpcall handler", "while true do xpcall(error, LOOP) end")
loops("nested pcalls", "local function f() pcall(f) while true do end end f()")
loops("pcalls ever deeper", "local function f(n) pcall(f, n + 1) end while true do pcall(f, 1) end")
loops("pcall as a handler", "while true do xpcall(error, pcall) end")
loops("tail calls", "local function f() return f() end while true do pcall(f) end")
loops("pcall of pcall", "local q = pcall while true do q(q, q, q, q, q, error) end")
loops("coroutine", "while true do pcall(coroutine.wrap(LOOP)) end")
loops("coroutines ten deep", [[local function n(d) if d == 0 then while true do end end
  local c = coroutine.create(n) while true do coroutine.resume(c, d - 1) end end n(10)]])
loops("coroutine.close", [[while true do
  local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = LOOP }) coroutine.yield() end)
  coroutine.resume(c) pcall(coroutine.close, c) end]])
loops("coroutine.wrap as __close", "while true do local x <close> = setmetatable({}, { __close = coroutine.wrap(LOOP) }) end")
add("a swarm of coroutines", [[local t = {} while true do
  local c = coroutine.wrap(function() while true do coroutine.yield() end end) c() t[#t + 1] = c
  if #t > 2000 then for i = 1, #t do pcall(t[i]) end end end]])
add("coroutines ever deeper", "local function n() local c = coroutine.wrap(n) while true do pcall(c) end end n()")
add("thousands of coroutines that close each other", [[local prev
  for i = 1, 3000 do
    local p = prev
    local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() if p then coroutine.close(p) end end })
      coroutine.yield() end)
    coroutine.resume(c) prev = c
  end
  coroutine.close(prev) while true do end]])
add("coroutines that close each other deep in gsub", [[
  local function deep(n, f) if n == 0 then return f() end string.gsub("a", "a", function() deep(n - 1, f) end) end
  local function make(n)
    local inner = n > 1 and make(n - 1)
    local c = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() if inner then deep(90, function() coroutine.close(inner) end) end end })
      coroutine.yield()
    end)
    coroutine.resume(c) return c
  end
  while true do coroutine.close(make(99)) end]])
loops("__close", "while true do local x <close> = setmetatable({}, { __close = LOOP }) end")
loops("__close while it is ended", "local x <close> = setmetatable({}, { __close = LOOP }) while true do end")
loops("__close that closes itself", [[local mt = {} mt.__close = function() local y <close> = setmetatable({}, mt) while true do end end
  local x <close> = setmetatable({}, mt) while true do end]])
loops("thousands of closes", [[local mt = { __close = LOOP } local o = setmetatable({}, mt)
  local function f(n) local a <close>, b = o, 1 local c <close> = o if n > 0 then return (f(n - 1)) end while true do end end
  while true do pcall(f, 3000) end]])
loops("thousands of closes where nothing can yield", [[local o = setmetatable({}, { __close = LOOP })
  local function f(n) local a <close> = o local b <close> = o if n > 0 then f(n - 1) return end while true do end end
  string.gsub("a", "a", function() f(5000) end)]])
loops("a slow C function as __close", [[local t = {} for i = 1, 5000 do t["k" .. i] = i end
  setmetatable(t, { __close = pairs })
  local function f(n) local a <close> = t if n > 0 then f(n - 1) return end while true do end end
  string.gsub("a", "a", function() f(3000) end)]])
loops("__tostring", "while true do pcall(tostring, setmetatable({}, { __tostring = LOOP })) end")
loops("__index", "local t = setmetatable({}, { __index = LOOP }) while true do pcall(function() return t.x end) end")
loops("__eq", "local mt = { __eq = LOOP } while true do pcall(function() return setmetatable({}, mt) == setmetatable({}, mt) end) end")
loops("__concat", "local t = setmetatable({}, { __concat = LOOP }) while true do pcall(function() return t .. 'x' end) end")
loops("__len in a library", "local t = setmetatable({}, { __len = LOOP }) while true do pcall(table.concat, t) end")
loops("__call as an iterator", "while true do for _ in setmetatable({}, { __call = LOOP }) do end end")
loops("__call that leads to itself", "local mt = {} local t = setmetatable({}, mt) mt.__call = t while true do pcall(t) end")
loops("__pairs", "while true do for _ in pairs(setmetatable({}, { __pairs = LOOP })) do end end")
loops("iterator", "while true do for _ in LOOP do end end")
loops("comparator", "while true do pcall(table.sort, { 3, 2, 1 }, LOOP) end")
loops("__lt of a sort", "local mt = { __lt = LOOP } while true do pcall(table.sort, { setmetatable({}, mt), setmetatable({}, mt) }) end")
loops("a C function as a comparator", "local t = {} for i = 1, 20000 do t[i] = i * 7919 % 20011 end while true do pcall(table.sort, t, math.ult) end")
loops("gsub replacement", "while true do pcall(string.gsub, 'abc', '.', LOOP) end")
loops("sort in a coroutine in gsub", [[while true do pcall(string.gsub, "a", "a", function()
  coroutine.wrap(function() table.sort({ 2, 1 }, LOOP) end)() end) end]])
loops("error object", "while true do pcall(error, setmetatable({}, { __tostring = LOOP, __index = LOOP, __name = 'x' })) end")
add("a long __name", "local t = setmetatable({}, { __name = ('x'):rep(1000000) }) while true do tostring(t) end")
loops("string arithmetic", "while true do pcall(function() return '1' + setmetatable({}, { __add = LOOP }) end) end")

-- memory
add("tables", "local t = {} while true do t[#t + 1] = { 1, 2, 3 } end", "memory")
add("tables in pcall", "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end", "memory")
add("a text doubled", "local s = 'x' while true do s = s .. s end", "memory")
add("a text doubled in pcall", "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end", "cpu memory")
add("closures", "local t = {} while true do local u = #t t[#t + 1] = function() return u end end", "memory")
add("coroutines", "local t = {} while true do t[#t + 1] = coroutine.create(pcall) end", "memory")
loops("log", "while true do pcall(log, ('x'):rep(1000)) end")
add("varargs", "local function f(...) return f(1, 2, 3, 4, 5, 6, 7, 8, ...) end while true do pcall(f) end", "cpu memory")
add("varargs that are kept", "local function f(...) return f(table.pack(...), ...) end while true do pcall(f, 1) end", "cpu memory stack")
add("concat that is kept", "local t = {} for i = 1, 2e4 do t[i] = ('x'):rep(100) end while true do t[#t + 1] = table.concat(t, '', 1, 1e4) end")
add("one large table", "local t = {} for i = 1, 1e9 do t[i] = i end", "memory")
add("tables that want to be weak", [[while true do
  local mt = {} local t = setmetatable({}, mt) mt.__mode = "kv"
  for i = 1, 300 do t["k" .. i] = {} end
  for k in pairs(t) do if not t[k] then error "gone" end end end]])
add("a chain of keys that want to be weak", [[local mt = {} local t = setmetatable({}, mt) mt.__mode = "k" local keys = {}
  for i = 1, 1e5 do keys[i] = {} end
  for i = 1, 1e5 - 1 do t[keys[i] ] = keys[i + 1] end
  keys = keys[1] while true do local x = { keys } end]])

-- depth
add("recursion", "local function f() return 1 + f() end while true do pcall(f) end", "cpu memory stack")
add("recursion that holds much", "local function f(n) return { n, f(n + 1) } end f(1)", "memory stack")
add("recursion, not caught", "local function f() return 1 + f() end f()", "memory stack")
add("recursion through __index", "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) while true do pcall(function() return t[1] end) end",
  "cpu memory stack")
add("recursion in coroutines", "local function f() return pcall(coroutine.wrap(f)) end while true do f() end", "cpu memory")

-- C functions that would take long
loops("pattern", "while true do pcall(string.find, ('a'):rep(1e5), ('a*'):rep(20) .. 'b') end")
loops("pattern of options", "while true do (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b') end")
loops("pattern of short runs", "return (('a'):rep(1e5)):find(('.-'):rep(12) .. 'b')")
add("a long set", "local set = '[' .. ('b'):rep(5e5) .. ']' return (('a'):rep(5e5)):find(set)")
add("back reference", "return (('a'):rep(5e5)):find('(.+)%1b')")
add("gsub", "return (('a'):rep(1e6)):gsub('.-b', '')")
add("a plain text of zeros", "local s = ('\\0'):rep(1e6) s = s .. s .. s while true do ('x'):find(s) end")
loops("pattern of classes", "local set = '[^' .. ('b'):rep(5e4) .. ']*c' while true do (('a'):rep(1e5)):find(set) end")
loops("balance", "while true do (('('):rep(1e5)):find('%b()') end")
loops("gmatch", "while true do for _ in (('a'):rep(1e5)):gmatch('.-b') do end end")
loops("plain find", "local s = ('a'):rep(1e5) while true do s:find(('a'):rep(5e4) .. 'b', 1, true) end")
loops("rep", "while true do pcall(string.rep, 'x', 1 << 40) pcall(string.rep, 'x', 1 << 16) end")
loops("rep of nothing", "while true do (''):rep(1 << 60) end")
loops("format", "while true do pcall(string.format, ('%s'):rep(100), table.unpack({}, 1, 100)) end")
loops("format of a width", "while true do pcall(string.format, '%99999d', 1) end")
add("format of what isn't printed", "local s = ('\\1'):rep(1e6) s = s .. s .. s while true do pcall(string.format, '%q', s) end")
loops("concat", "local t = {} for i = 1, 1000 do t[i] = 'x' end while true do table.concat(t) end")
loops("concat over nothing", "while true do pcall(table.concat, setmetatable({}, { __len = function() return 1 << 40 end, __index = function() return '' end })) end")
loops("move", "while true do table.move({}, 1, 1 << 40, 2) end")
loops("remove", "table.remove(setmetatable({}, { __len = function() return 1 << 40 end }), 1)")
add("insert", "table.insert(setmetatable({}, { __len = function() return 1 << 40 end }), 1, 1)")
add("sort of a large list", "local t = {} for i = 1, 3e5 do t[i] = i * 7919 % 1000003 end while true do table.sort(t) for i = 1, 100 do t[i] = -i end end")
add("sort of texts that begin alike", "local t, s = {}, ('x'):rep(1000) for i = 1, 500 do t[i] = s .. i * 7919 % 1003 end while true do table.sort(t) t[1] = s .. '~' end")
loops("unpack", "while true do pcall(table.unpack, {}, 1, 5000) end")
loops("next", "local t = {} for i = 1, 1000 do t['k' .. i] = i end while true do for _ in next, t do end end")
add("next in a large table", "local t = {} for i = 1, 20000 do t['k' .. i] = i end for k in next, t do end while true do end")
add("pairs of a large table", "local t = {} for i = 1, 1e5 do t['k' .. i] = i end while true do for k in pairs(t) do break end end")
loops("the iterator of pairs", [[local list, names = pairs { 1, 2, 3 }, pairs { a = 1 } while true do
  for _, v in ipairs { "abc", 7, true, pairs } do pcall(list, v, 0) pcall(names, v) pcall(names) pcall(list) end end]])
add("keys that share a place in the next size", "local t = {} for j = 1, 65537 do t[j * 131071] = 1 end while true do end")
add("floats that share a place in all sizes", "local t = {} for j = 1, 60000 do t[1 + j * 2.0 ^ -50] = 1 end while true do end")
add("small integers that find a chain in their places", [[local now, next_size, chain, t = 1 << 15, 1 << 16, 2750, {}
  for i = 0, now // 2 do t[now - 2 - i + (now - 1) * 2] = 1 end
  for i = 64, 63 + chain do t[(next_size - 1) * (i + (now - 1) * 64)] = 1 end
  for i = now - now // 2 - chain - 2, 0, -1 do t[next_size - 33 - i + (next_size - 1) * ((1 << 22) // (next_size - 1) - 1)] = 1 end
  for i = 1, 4 do t[i / 8] = 1 end while true do end]])
add("a constructor with keys that share a place", [[local D, i, t = 8191, 0, nil local function k() i = i + 1 return i * D end
  local function f() return 1, 2 end t = { ]] .. ("[k()]=1,"):rep(5000) .. "f() } while true do t[1] = t end")
loops("unpack of what stands behind many tables", [[local t = {} for i = 1, 1990 do t = setmetatable({}, { __index = t }) end
  while true do table.unpack(t, 1, 5000) end]])
loops("a sort that writes through many tables", [[local t, a = {}, {} for i = 1, 1990 do t = setmetatable({}, { __newindex = t }) end
  for i = 1, 2000 do a[i] = -i end
  getmetatable(t).__index, getmetatable(t).__len = a, function() return 2000 end
  while true do table.sort(t) table.sort(t, function(x, y) return x < y end) end]])
loops("utf8", "local s = ('x'):rep(1e5) while true do utf8.len(s) end")
loops("pack", "while true do string.pack('c1000', '') end")
add("a long format of pack", "local s = (' '):rep(1e6) s = s .. s .. s while true do pcall(string.pack, s) pcall(string.unpack, s, '') pcall(string.packsize, s) end")
loops("JSON of a bush", "local t = {} for _ = 1, 60 do t = { a = t, b = t } end while true do pcall(require('cjson').encode, t) end")
loops("JSON read", "local text = '[' .. ('[],'):rep(1000) .. '1]' while true do require('cjson').decode(text) end")

return attacks
