-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms
-- Our string, table and utf8 functions beside the stock ones: same results and messages over a table of cases.
-- script_generated.lua writes others.
local stock = dofile "tests/unit/script_stock.lua"

local ours = stock.ours
local function same(lib, name, ...) stock.same(lib, name, nil, ...) end

local function all_matches(find, text, pattern, init)
  local r = {}
  for a, b, c in find(text, pattern, init) do
    r[#r + 1] = tostring(a) .. ":" .. tostring(b) .. ":" .. tostring(c)
    if #r > 50 then break end
  end
  return table.concat(r, ",")
end

local function same_pattern(text, pattern, init)
  same("string", "find", text, pattern, init)
  same("string", "match", text, pattern, init)
  same("string", "gsub", text, pattern, "<%0>")
  same("string", "gsub", text, pattern, "%1", 2)
  same("string", "gsub", text, pattern, function(...) return select("#", ...) .. tostring((...)) end)
  same("string", "gsub", text, pattern, { a = "A", ab = 1, b = false })
  stock.same("string", "gmatch", all_matches, text, pattern, init)
end

local texts = {
  "", "a", "ab", "aab", "hello world from Lua", "k1=v1, k2=v2;k3=", "(a(b)c)(d)", "THE (quick) fox", "\0a\0b", "x^y$z", "[[]]",
  "äöü €", "  trim  ", "a.b-c_d", "aaaaab", "1.5e10,-3", "\n\t\r", ("ab"):rep(50),
}
local patterns = {
  "", "a", ".", "a*", "a+", "a-", "a?", "^a", "a$", "^a*$", "^", "$", "^$", "%a+", "%A", "%d+", "%w+", "%s*", "%p", "%u", "%l+", "%x", "%c", "%g+",
  "[ab]", "[^ab]", "[a-c]+", "[%a_]", "[]]", "[^]]", "[a-]", "[-a]", "[%]]", "[%-x]", "()", "(a)", "(a)(b)", "((a)(b))", "(a*(.)%w(%s*))", "%b()",
  "%bxy", "%f[%a]%a+", "%f[%A]", "(%w)%1", "(.)(.)%2%1", ".-b", "^(%s*)(.-)(%s*)$", "(%w+)=(%w*)", "%%", "%.", "\0", "[\0-\31]", "k%d", "x^y", "a$b",
  "(a", "a)", "[a", "[^", "[", "%", "%b", "%bx", "%f", "%fa", "%1", "(%1)", "()()", "(()", "%z", "[%", "[a-%", "[%a-z]", "(((((((((((((((((((((((((((((((((a", "a**", "-", "?", "+", "*", "a-?",
}
for _, text in ipairs(texts) do
  for _, pattern in ipairs(patterns) do
    for _, init in ipairs { 1, 2, -1, 0, 10, -100 } do same_pattern(text, pattern, init) end
  end
end
for _, replacement in ipairs { "%", "%x", "%2", "%9", "%%", "%0%0", "", 5 } do
  same("string", "gsub", "abc", "%w", replacement)
  same("string", "gsub", "abc", "(%w)(%w)", replacement)
  same("string", "gsub", "abc", "()%w", replacement)
end
for _, bad in ipairs { true, 0 } do same("string", "gsub", "abc", "b", function() return bad == 0 and {} or bad end) end
same("string", "gsub", "abc", "b", nil)
same("string", "gsub", "abc", "b")
same("string", "gsub", "abc", "", "-", 0)
same("string", "gsub", "abc", "", "-", -1)
same("string", "find", "a+b", "+", 1, true)
same("string", "find", "abc", "", 4)
same("string", "find", "abc", "", 5)
same("string", "find", "a\0b", "\0b")
same("string", "find", 123, 2)
same("string", "find", {}, "x")
same("string", "match", ("a"):rep(3000), ".-b")
same("string", "find", ("a"):rep(250), ("(a?)"):rep(3) .. ("a?"):rep(210))

for _, s in ipairs { "", "a", "abc" } do
  for _, n in ipairs { -1, 0, 1, 3 } do
    same("string", "rep", s, n)
    same("string", "rep", s, n, ", ")
    same("string", "byte", s, n)
    same("string", "byte", s, 1, n)
    same("string", "sub", s, n)
  end
end
for _, f in ipairs { "%d", "%5.1f", "%s", "%10s|", "%-10s|", "%.2s", "%q", "%x", "%c", "%%", "%g", "%i", "%a", "%", "%y", "%123d", "%.123f", "%s %s", "%5%" } do
  for _, v in ipairs { 1, 1.5, "text", "7", true, "a\0b\n" } do same("string", "format", f, v) end
  same("string", "format", f)
end
assert(not pcall(ours.string.format, "%p", {}))
assert(ours.string.format("%s %s", {}, print) == "table function")

math.randomseed(12345)
local random = math.random
local function sorted(lib, list, compare)
  local copy = table.move(list, 1, #list, 1, {})
  lib.table.sort(copy, compare)
  return table.concat(copy, ",")
end
for n = 0, 200 do
  local list = {}
  for i = 1, n do list[i] = random(1000) + i / 1000 end
  assert(sorted(_G, list) == sorted(ours, list))
  assert(sorted(_G, list, function(a, b) return a > b end) == sorted(ours, list, function(a, b) return a > b end))
end
for _, list in ipairs { { 3, 1.5, 2 }, { "b", "a", "B", "", "a\0" }, { 1.5, -0.5, 1e300 }, { 2, 1, 3, 1 }, { 0 / 0, 1.5 } } do
  if #list ~= 2 then assert(sorted(_G, list) == sorted(ours, list)) else sorted(ours, list) end
end
do -- stable, where stock isn't
  local list = {}
  for i = 1, 100 do list[i] = { key = i % 5, place = i } end
  ours.table.sort(list, function(a, b) return a.key < b.key end)
  for i = 2, 100 do assert(list[i - 1].key < list[i].key or list[i - 1].place < list[i].place) end
end
assert(not pcall(ours.table.sort, { 1, "x", {} }))
same("table", "sort", { 3, 2, 1 }, 5)
same("table", "concat", { 1, 2, "x", 4.5 }, ", ")
same("table", "concat", { 1, 2, 3 }, "-", 2)
same("table", "concat", { 1, 2, 3 }, "-", 2, 3)
same("table", "concat", { 1, 2, 3 }, "-", 3, 2)
same("table", "concat", { 1, {}, 3 })
same("table", "concat", { 1, 2 }, "", 1, 3)
same("table", "concat", "x")
same("table", "concat", { "a", "b" }, "", math.maxinteger, math.maxinteger)
for at = -1, 5 do
  same("table", "insert", { 1, 2, 3 }, at, 9)
  same("table", "remove", { 1, 2, 3 }, at)
  same("table", "remove", {}, at)
end
same("table", "insert", { 1 })
same("table", "insert", { 1 }, 1, 2, 3)
same("table", "unpack", { 1, 2, 3 }, 2)
same("table", "unpack", { 1, 2, 3 }, -1, 1)
same("table", "unpack", {}, 1, 1e8)
same("table", "unpack", {}, math.mininteger, math.maxinteger)
for first = 0, 4 do
  for last = 0, 4 do
    for to = 1, 4 do same("table", "move", { 1, 2, 3, 4 }, first, last, to) end
  end
end
same("table", "move", {}, 1, math.maxinteger, 2)
same("table", "move", {}, -5, math.maxinteger, 2)
same("utf8", "codepoint", "häß", 1, -1)
same("utf8", "codepoint", "\xff", 1)
same("utf8", "char", 0x20AC, 0x10FFFF)
same("utf8", "len", "häß", 2)
same("utf8", "offset", "häß", 3)
same("string", "byte", "abc", math.maxinteger, math.mininteger)
same("string", "byte", "abc", math.mininteger, math.maxinteger)
same("string", "char", 72, 105)
same("string", "char", 256)
same("string", "pack", "<i4s2z", 7, "ab", "c")
same("string", "unpack", "<i4s2z", "\7\0\0\0\2\0abc\0")
same("string", "unpack", "s4", "\xff\xff\xff\xff")

-- a huge table's text is a word, as is a small one's; a text of its own is asked for as in stock
local huge = {}
for i = 1, 100000 do huge[i], huge["k" .. i] = i, i end
assert(ours._G.tostring(huge) == "table" and ours._G.tostring {} == "table")
for _, v in ipairs { 0, -0.0, 1e15, 1e100, 2 ^ 53, 1 / 0, math.mininteger, "text", true, setmetatable(huge, { __tostring = function() return "huge" end }),
  setmetatable({}, { __tostring = function() return 7 end }), setmetatable({}, { __tostring = function() error "no" end }) } do
  same("_G", "tostring", v)
end
same("_G", "tostring")
same("_G", "tostring", nil)
assert(ours._G.tostring(0 / 0):find "nan")
assert(stock.compared > 10000, stock.compared)
