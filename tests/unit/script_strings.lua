-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms
-- Our string, table and utf8 functions beside the stock ones, which trusted code still has: same results and messages,
-- over a table of cases and over generated ones.
local script = require "core.script"

local ours = {}
local env = script.environment { export = function(t) ours = t end }
assert(script.call({}, nil, assert(script.load("export { string = string, table = table, utf8 = utf8 }", "@x", env))))

local function show(v)
  local kind = type(v)
  if kind == "string" then return ("%q"):format(v) end
  if kind == "table" then
    local parts = {}
    for i = 1, #v do parts[i] = show(v[i]) end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  return tostring(v)
end

local function outcome(f, ...)
  local r = table.pack(pcall(f, ...))
  for i = 1, r.n do r[i] = show(r[i]) end
  return (table.concat(r, " ", 1, r.n):gsub("to '[%w.?]+'", "to f")) -- pcall knows no names of ours
end

local compared = 0
local function copies(...)
  local r = table.pack(...)
  for i = 1, r.n do
    if type(r[i]) == "table" then r[i] = table.move(r[i], 1, #r[i], 1, setmetatable({}, { __index = r[i] })) end
  end
  return table.unpack(r, 1, r.n)
end

local function same(lib, name, ...)
  local expected, got = outcome(_G[lib][name], copies(...)), outcome(ours[lib][name], copies(...))
  compared = compared + 1
  if expected ~= got then
    local args = table.pack(...)
    for i = 1, args.n do args[i] = show(args[i]) end
    error(("%s.%s(%s)\n  stock %s\n  ours  %s"):format(lib, name, table.concat(args, ", ", 1, args.n), expected, got), 2)
  end
end

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
  local expected = outcome(all_matches, string.gmatch, text, pattern, init)
  local got = outcome(all_matches, ours.string.gmatch, text, pattern, init)
  compared = compared + 1
  assert(expected == got, ("gmatch(%q, %q)\n  stock %s\n  ours  %s"):format(text, pattern, expected, got))
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

-- generated: short texts and patterns from few letters, so that they often match
local pieces = { "a", "b", ".", "%a", "%w", "[ab]", "[^a]", "%d", "(", ")", "()", "*", "+", "-", "?", "^", "$", "%1", "%b()", "%f[a]", "%", "[", "]" }
local seed = 12345
local function random(n) seed = (seed * 1103515245 + 12345) & 0x7fffffff return seed // 65536 % n + 1 end
for _ = 1, 20000 do
  local p, t = {}, {}
  for i = 1, random(6) do p[i] = pieces[random(#pieces)] end
  for i = 1, random(10) - 1 do t[i] = ({ "a", "b", "1", "(", ")" })[random(5)] end
  same_pattern(table.concat(t), table.concat(p), random(6) - 3)
end

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
assert(compared > 100000, compared)
