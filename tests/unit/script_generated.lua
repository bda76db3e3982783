-- SPDX-License-Identifier: MIT
-- luacheck: read globals slower
-- Thousands of calls of the string, table and utf8 functions that nobody thought of, ours beside the stock ones: results,
-- messages, and what became of tables. Each run has others; SRVTHREDS_SEED=n, which a failure says, repeats one.
local script = require "core.script"
local stock = dofile "tests/unit/script_stock.lua"

local CASES = 60000 // slower
local seed = math.tointeger(tonumber(os.getenv "SRVTHREDS_SEED"))
if not seed then
  local file = assert(io.open("/dev/urandom", "rb"))
  seed = ("I4"):unpack(file:read(4))
  file:close()
end
math.randomseed(seed)
local random = math.random

local function one(list) return list[random(#list)] end
local function chance(n) return random(n) == 1 end
local function many(most, list, separator)
  local r = {}
  for i = 1, random(0, most) do r[i] = one(list) end
  return table.concat(r, separator)
end

-- Values

local INTEGERS = { 0, 1, 2, 3, -1, -2, 7, 127, 128, 255, 256, 65535, 0x7fffffff, 0x80000000, 0xffffffff, -0x80000000,
  math.maxinteger, math.mininteger, math.maxinteger - 1, 1 << 53 }
local FLOATS = { 0.0, -0.0, 1.0, 0.5, -1.5, 1e100, -1e300, 2.0 ^ 63, 1 / 0, -1 / 0, 0 / 0, 3.14159, 5e-324 }
local TEXTS = { "", "a", "abc", "10", "0x10", "1e1", " 7 ", "1.5", "häß €", "a\0b", "\n\"\\\r\0001", ("x"):rep(40),
  ("long "):rep(60), "\xff\xfe", "\u{10FFFF}", "\xf4\x90\x80\x80" }

local function with_tostring(what)
  return setmetatable({}, { __tostring = function() return what end })
end
local function raising() return setmetatable({}, { __tostring = function() error("raised", 0) end }) end

local function small() return random(-6, 12) end
local function integer() return chance(3) and one(INTEGERS) or small() end
local function number() return chance(3) and one(FLOATS) or integer() end
local function text() return one(TEXTS) end
local function any()
  return ({ small, function() return one(FLOATS) end, text, text, function() return chance(2) end, function() end, function() return {} end,
    function() return type end, function() return with_tostring(one { "seen", 5, {}, false }) end, raising })[random(10)]()
end

-- What is mostly as it must be.
local function mostly(make) return chance(25) and any() or make() end

-- Calls with the arguments that the makers give, of which the last may be left out.
local function call(lib, name, needed, makers, via)
  local arguments, n = {}, random(needed, #makers)
  if chance(60) then n = random(0, #makers) end
  for i = 1, n do arguments[i] = mostly(makers[i]) end
  stock.same(lib, name, via, table.unpack(arguments, 1, n))
end

-- Patterns, over few letters so that they often match

local PIECES = { "a", "b", ".", "%a", "%w", "%s", "%D", "[ab]", "[^a]", "[a-b%d]", "[%a_]", "[]]", "%d", "(", ")", "()",
  "(a)", "(.-)", "*", "+", "-", "?", "^", "$", "%1", "%2", "%b()", "%bab", "%f[a]", "%f[%W]", "%", "[", "]", "\0", "é" }
local LETTERS = { "a", "b", "1", "(", ")", " ", "ab", "\0", "é", "_" }
local function subject() return chance(30) and text() or many(12, LETTERS) end
local function pattern() return many(6, PIECES) end
local function plain() return many(3, LETTERS) end
local function limit() return random(-1, 4) end

local function all_matches(gmatch, ...)
  local r = {}
  for a, b, c in gmatch(...) do
    r[#r + 1] = tostring(a) .. ":" .. tostring(b) .. ":" .. tostring(c)
    if #r > 50 then break end
  end
  return table.concat(r, ",")
end

local REPLACEMENTS = {
  function() return many(4, { "%0", "%1", "%2", "%%", "<", "%x", "%", "\0" }) end,
  function() return { a = "A", ab = 1, b = false, ["("] = chance(4) and {} or nil, [1] = 1.5 } end,
  function() return function(...) return select("#", ...) .. tostring((...)) end end,
  function() return function(a) return a == "a" and 7 end end,
  function() return function() return {} end end,
  function() return function() error "raised" end end,
}
local function replacement() return one(REPLACEMENTS)() end

-- string.format

local CONVERSIONS = { "d", "i", "u", "o", "x", "X", "c", "e", "E", "f", "g", "G", "a", "A", "s", "s", "s", "q", "F", "n", "y", "" }
local function conversion()
  local flags = chance(3) and many(3, { "-", "+", " ", "#", "0" }) or ""
  local width = chance(3) and one { "1", "5", "12", "99", "100", "0" } or ""
  local precision = chance(3) and one { ".", ".0", ".3", ".20", ".99", ".100" } or ""
  return "%" .. flags .. width .. precision .. one(CONVERSIONS)
end
local function format_value()
  local v = any()
  if type(v) == "function" or type(v) == "table" and not getmetatable(v) then return 3 end -- stock shows the address
  return v
end
local function format()
  local parts, values = {}, {}
  for i = 1, random(4) do
    parts[i] = one { "", "", "text ", "%%", "\0", "é" } .. conversion()
    values[i] = chance(2) and format_value() or number()
  end
  stock.same("string", "format", nil, table.concat(parts), table.unpack(values, 1, #values - (chance(20) and 1 or 0)))
end

-- string.pack

local OPTIONS = { "b", "B", "h", "H", "i", "I", "l", "L", "j", "J", "T", "f", "d", "n", "s", "z", "x", "X", "<", ">", "=", "!", " " }
local function options()
  local r = {}
  for i = 1, random(5) do
    local o = one(OPTIONS)
    if ("iIs!"):find(o, 1, true) and chance(2) then o = o .. one { "1", "2", "3", "4", "7", "8", "16", "17", "0" } end
    if o == "X" and not chance(5) then o = o .. one { "b", "h", "i", "l", "d", "i3" } end
    r[i] = chance(12) and "c" .. one { "0", "1", "5", "20", "" } or chance(40) and "w" or o
  end
  return table.concat(r)
end
local function pack_value() return chance(3) and text() or number() end
local function bytes()
  local r = {}
  for i = 1, random(0, 24) do r[i] = string.char(chance(2) and random(0, 3) or random(0, 255)) end
  return table.concat(r)
end
-- What was packed comes back, with what the stock function packed.
local function there_and_back(pack, unpack)
  local form = options()
  local values = {}
  for i = 1, 5 do values[i] = pack_value() end
  local ok, packed = pcall(pack, form, table.unpack(values))
  if ok then stock.same("string", "unpack", nil, form, packed) end
  return unpack
end

-- utf8

local function code() return chance(4) and one { 0x10FFFF, 0x110000, 0x7FFFFFFF, 0x80000000, 0xD800, -1, 0 } or random(0, 0x3000) end
local function encoded()
  if chance(4) then return bytes() end
  local r = {}
  for i = 1, random(0, 6) do r[i] = utf8.char(chance(8) and one { 0x110000, 0x7FFFFFFF, 0xD800 } or random(0, 0x2FFFF)) end
  return table.concat(r) .. (chance(6) and "\x80" or "")
end
local function lax() return chance(2) end
local function all_codes(codes, ...)
  local r = {}
  for at, c in codes(...) do
    r[#r + 1] = at .. ":" .. c
    if #r > 50 then break end
  end
  return table.concat(r, ",")
end

-- Tables

local function list()
  local r = {}
  for i = 1, random(0, 9) do r[i] = chance(30) and any() or chance(3) and text() or random(99) end
  if chance(10) then r[random(12)] = nil end
  return r
end

-- One that has its items elsewhere: which are read and written, and in which order, is to be the same.
local function proxy(items)
  local seen = {}
  local function note(...) seen[#seen + 1] = table.concat({ ... }, " ") end
  return setmetatable({}, {
    again = function() return proxy(table.move(items, 1, #items, 1, {})) end,
    seen = function() return table.concat(seen, ";") .. stock.show(items) end,
    __index = function(_, k) note("get", tostring(k)) return items[k] end,
    __newindex = function(_, k, v) note("set", tostring(k), stock.show(v)) items[k] = v end,
    __len = function() note "len" return #items == 9 and "9x" or #items end,
  })
end
local function some_table() return chance(6) and proxy(list()) or list() end
local function place() return chance(20) and integer() or random(-2, 10) end
local function separator() return one { "", ", ", 7, "\0" } end

-- All of one kind, since which two are compared first is not promised; no equal ones of different looks.
local SORTED = {
  function() return random(30) end,
  function() return random(30) + 0.5 end,
  function() return random(30) / (chance(2) and 2 or 4) + 0.125 end,
  function() return many(3, LETTERS) end,
  function(i) return i % 2 == 0 and i or i + 0.5 end,
  function() return {} end,
  function() return chance(2) end,
}
local function to_sort()
  local r, make = {}, one(SORTED)
  for i = 1, one { 0, 1, 2, 3, 7, 20, 130 } do r[i] = make(i) end
  return r
end
local function comparator()
  return one {
    function(a, b) return a < b end, function(a, b) return a > b end, function() error "raised" end, function() error({}, 0) end }
end
-- Which function and which values raised is one matter, that it raised another.
local function sorted(sort, t, ...)
  local ok, e = pcall(sort, t, ...)
  if ok then return stock.show(t) end
  return type(e) == "string" and e:match "^attempt to compare" or stock.show(e)
end
local function sort_case()
  local t, r = to_sort(), random(3)
  if r == 1 then return stock.same("table", "sort", sorted, t) end
  if r == 2 then return stock.same("table", "sort", sorted, t, comparator()) end
  stock.same("table", "sort", sorted, mostly(to_sort), one { 1, "x", {}, true })
end

-- JSON: cjson for scripts and core.json, two encoders: what one wrote the other reads.

local json = require "core.json"
local cjson = script.module "cjson"
local function json_value(depth)
  local kind = random(depth > 0 and 8 or 5)
  if kind == 1 then return random(-1000, 1000) end
  if kind == 2 then return one { 0.5, -1e-7, 1e100, 5e-324, 1.7976931348623157e308, math.maxinteger, math.mininteger } end
  if kind == 3 then return chance(2) end
  if kind == 4 then return json.null end
  if kind == 5 then return one { "", "a", "\0", "\"\\/\n\1", "häß €", "\u{10FFFF}" } end
  local v = {}
  if kind <= 6 then
    for i = 1, random(0, 4) do v[i] = json_value(depth - 1) end
    return json.array(v)
  end
  for _ = 1, random(0, 4) do v[one { "a", "b", "", "é", "10", "k\0" }] = json_value(depth - 1) end
  return v
end
local function json_case()
  local v = json_value(3)
  local canonical = json.encode(v)
  local theirs = cjson.encode(v)
  local again = { json.encode(json.decode(theirs)), json.encode(cjson.decode(canonical)), json.encode(cjson.decode(theirs)) }
  for i = 1, 3 do
    if again[i] ~= canonical then error(("%s\n%s\n%d: %s"):format(canonical, theirs, i, again[i]), 0) end
  end
  stock.compared = stock.compared + 1
end

local kinds = {
  function() call("string", "find", 2, { subject, pattern, small }) end,
  function() call("string", "find", 2, { subject, plain, small, lax }) end,
  function() call("string", "match", 2, { subject, pattern, small }) end,
  function() call("string", "gmatch", 2, { subject, pattern, small }, all_matches) end,
  function() call("string", "gsub", 3, { subject, pattern, replacement, limit }) end,
  format,
  format,
  function() call("string", "rep", 2, { text, limit, separator }) end,
  function() call("string", "byte", 1, { text, small, small }) end,
  function() call("string", "sub", 2, { text, integer, integer }) end,
  function() call("string", "char", 0, { function() return random(-1, 256) end, integer, small }) end,
  function() call("string", one { "len", "lower", "upper", "reverse" }, 1, { text }) end,
  function() call("string", "pack", 1, { options, pack_value, pack_value, pack_value, pack_value }) end,
  function() call("string", "unpack", 2, { options, bytes, small }) end,
  function() call("string", "packsize", 1, { options }) end,
  function() there_and_back(string.pack) end,
  function() call("utf8", "char", 0, { code, code, code }) end,
  function() call("utf8", "len", 1, { encoded, small, small, lax }) end,
  function() call("utf8", "codepoint", 1, { encoded, small, small, lax }) end,
  function() call("utf8", "offset", 2, { encoded, small, small }) end,
  function() call("utf8", "codes", 1, { encoded, lax }, all_codes) end,
  function() call("table", "concat", 1, { some_table, separator, place, place }) end,
  function() call("table", "insert", 2, { some_table, chance(2) and place or any, any }) end,
  function() call("table", "remove", 1, { some_table, place }) end,
  function() call("table", "move", 4, { some_table, small, small, place, some_table }) end,
  function() call("table", "unpack", 1, { some_table, place, place }) end,
  function() call("table", "pack", 0, { any, any, any }) end,
  sort_case,
  function() call("_G", "tostring", 1, { format_value }) end,
  function() call("_G", "tonumber", 1, { any, function() return random(0, 40) end }) end,
  function() call("_G", "select", 1, { small, any, any }) end,
  function() call("_G", one { "rawequal", "rawlen", "type", "assert" }, 1, { any, any }) end,
  function() call("_G", one { "pcall", "xpcall" }, 1, { function() return chance(2) and tostring or rawlen end, any, any }) end,
  function() call("_G", one { "rawget", "rawset" }, 2, { list, place, any }) end,
  function() call("math", one { "floor", "ceil", "fmod", "tointeger", "ult", "max", "min", "abs" }, 1, { number, number }) end,
  json_case,
}
-- Long texts are worked off in pieces of 64 KiB: sequences that lie across the border of two, good and bad ones.
local SEQUENCES = { "a", "ä", "€", "\u{10FFFF}", "\u{3FFFFFF}", "\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98" }
local function long_text()
  local good = SEQUENCES[random(4)]
  local head = good:rep((random(1, 3) * 65536 + random(-4, 4)) // #good) .. ("b"):rep(random(0, 3))
  return head .. (chance(2) and "" or one(SEQUENCES)) .. good:rep(random(60000, 70000))
end
for _ = 1, 4 do
  local long = long_text()
  stock.same("utf8", "len", nil, long)
  stock.same("utf8", "len", nil, long, 1, -1, chance(2))
  stock.same("string", one { "upper", "lower" }, nil, long)
  local far = random(40, 300)
  stock.same("string", "find", nil, long .. ("a"):rep(far) .. "c", ("a"):rep(far - random(0, 2)) .. "c", 1, true)
end

local ok, problem
for case = 1, CASES do
  ok, problem = pcall(kinds[case % #kinds + 1])
  if not ok then error(("SRVTHREDS_SEED=%d, case %d: %s"):format(seed, case, problem), 0) end
end
io.stderr:write(("generated: SRVTHREDS_SEED=%d, %d calls compared with stock Lua\n"):format(seed, stock.compared))
assert(stock.compared > CASES * 9 // 10, stock.compared)
