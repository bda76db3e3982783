-- SPDX-License-Identifier: MIT
-- Writes hostile scripts: by a grammar of statements, expressions and tricks (metamethods, coroutines, closes, bombs), nested
-- at random. The same seed gives the same script.

local hostile = {}

local NUMBERS = { "0", "1", "-1", "2", "3", "7", "64", "255", "1000", "100000", "1 << 20", "1 << 31", "1 << 40", "1 << 60",
  "math.maxinteger", "math.mininteger", "0.5", "-0.0", "1e308", "2^53", "1/0", "-1/0", "0/0" }
local TEXTS = { '""', '"x"', '"abc"', '"10"', '"0x10"', '"1e1"', '"\\0"', '"\\xff\\xfe"', '"%b()"', '".-"', '"(.)"', '"(a*)*b"',
  '"%f[%w]%w+"', '"[^%z]*"', '"()"', '"%1"', '"[a"', '"%"', '"(%w+) (%w+)"', '"%d %s %q %5.2f %x"', '"%s%s%s%s"', '"%99d"',
  '"<i4>i8=z"', '"s4"', '"!16 Xj"', '"c1000"', '"{[\\"a\\",1,null]}"', '"[[[[]]]]"', '"message"', '"k1"', '"%c%Y"', '"*t"' }
local METAMETHODS = { "__index", "__newindex", "__call", "__close", "__len", "__eq", "__lt", "__le", "__concat", "__unm",
  "__tostring", "__pairs", "__add", "__sub", "__mul", "__div", "__mod", "__idiv", "__band", "__shl", "__bnot", "__name",
  "__metatable", "__gc", "__mode" }
local BINARY = { "+", "-", "*", "/", "//", "%", "^", "..", "==", "~=", "<", "<=", "and", "or", "&", "|", "~", "<<", ">>" }
local ENDS, WHILE = { "3", "100", "1e6", "math.huge" }, { "true", "v1", "v2 == nil", "#log_ < 9" }
local UNARY = { "-", "not ", "#", "~" }

---@class hostile.Writer
local writer = {}
writer.__index = writer

function writer:number(n) return self.random(n) end

function writer:one(list) return list[self.random(#list)] end

function writer:chance(percent) return self.random(100) <= percent end

function writer:variable() return "v" .. self.random(6) end

-- The functions of the library, by their names; a few get arguments that they can use more often than chance would have it.
local TASTES = {
  ["string.rep"] = "tnt", ["string.find"] = "ttnb", ["string.match"] = "ttn", ["string.gmatch"] = "tt", ["string.gsub"] = "tthn",
  ["string.format"] = "teee", ["string.byte"] = "tnn", ["string.sub"] = "tnn", ["string.pack"] = "tee", ["string.unpack"] = "ttn",
  ["table.concat"] = "htnn", ["table.insert"] = "hne", ["table.remove"] = "hn", ["table.move"] = "hnnnh", ["table.sort"] = "hf",
  ["table.unpack"] = "hnn", ["coroutine.wrap"] = "f", ["coroutine.create"] = "f", ["coroutine.resume"] = "ce", ["pcall"] = "fee",
  ["coroutine.close"] = "c", ["xpcall"] = "ffe", ["setmetatable"] = "hh", ["pairs"] = "h", ["next"] = "he", ["rawset"] = "hee",
  ["rawget"] = "he", ["utf8.codepoint"] = "tnn", ["utf8.char"] = "nnn", ["utf8.offset"] = "tnn", ["utf8.len"] = "tnn",
  ["cjson.encode"] = "h", ["cjson.decode"] = "t", ["error"] = "hn", ["tostring"] = "h", ["select"] = "nee", ["tonumber"] = "tn",
  ["os.date"] = "tn", ["os.time"] = "h", ["log"] = "h", ["math.random"] = "nn", ["ipairs"] = "h",
}

local BY_TASTE = {
  t = function(self, d) return self:text(d) end, n = function(self) return self:one(NUMBERS) end,
  h = function(self, d) return self:object(d) end, f = function(self, d) return self:fn(d) end,
  c = function(self, d) return self:chance(60) and ("coroutine.create(%s)"):format(self:fn(d)) or self:variable() end,
  b = function(self) return self:one { "true", "false", "nil" } end, e = function(self, d) return self:expression(d) end,
}

function writer:call(depth)
  local name = self:one(self.functions)
  local taste, args = TASTES[name] or ("e"):rep(self.random(0, 3)), {}
  for want in taste:gmatch "." do
    if self:chance(4) then break end
    args[#args + 1] = BY_TASTE[self:chance(85) and want or "e"](self, depth - 1)
  end
  return ("%s(%s)"):format(name, table.concat(args, ", "))
end

function writer:text(depth)
  local kind = self.random(10)
  if kind <= 5 then return self:one(TEXTS) end
  if kind == 6 then return ("(%s):rep(%d)"):format(self:one(TEXTS), self.random(0, 3000)) end
  if kind == 7 then return ("(%s):rep(%s)"):format(self:one(TEXTS), self:one(NUMBERS)) end
  if kind == 8 then return ("tostring(%s)"):format(self:expression(depth - 1)) end
  if kind == 9 then return ("(%s .. %s)"):format(self:one(TEXTS), self:variable()) end
  return self:variable()
end

-- A table that does something when it is used.
function writer:object(depth)
  if depth <= 0 or self:chance(25) then return self:one { self:variable(), "{}", "{ 3, 1, 2 }", "event", "view", "event.values" } end
  local kind = self.random(6)
  local function inner() return self:expression(depth - 1) end
  if kind == 1 then return ("{ %s, %s, k1 = %s }"):format(inner(), inner(), inner()) end
  if kind == 2 then return ("many(%s, %s)"):format(self.random(0, 2000), self:expression(depth - 1)) end
  if kind == 3 then return ("bush(%d)"):format(self.random(0, 70)) end
  if kind == 4 then return ("chain(%d)"):format(self.random(0, 3000)) end
  local fields = {}
  for _ = 1, self.random(3) do
    local value = self:chance(80) and self:fn(depth - 1) or self:expression(depth - 1)
    fields[#fields + 1] = ("%s = %s"):format(self:one(METAMETHODS), value)
  end
  return ("setmetatable({ 2, 1 }, { %s })"):format(table.concat(fields, ", "))
end

function writer:fn(depth)
  if depth <= 0 or self:chance(15) then
    return self:one { "f1", "f2", "f3", "pcall", "error", "coroutine.yield", "coroutine.running", "tostring", "next",
      "function() while true do end end", "function() error(v1) end", "function(...) return ... end", "coroutine.wrap(f1)" }
  end
  return ("function(a, b, ...) %s end"):format(self:block(depth - 1, self.random(3)))
end

function writer:expression(depth)
  local kind = depth <= 0 and self.random(3) or self.random(14)
  if kind == 1 then return self:one(NUMBERS) end
  if kind == 2 then return self:one(TEXTS) end
  if kind == 3 then return self:one { self:variable(), self:variable(), "nil", "true", "a", "event", "view", "null", "f1" } end
  if kind <= 5 then return self:call(depth) end
  if kind <= 7 then return self:object(depth) end
  if kind == 8 then return self:fn(depth) end
  if kind == 9 then return ("(%s %s %s)"):format(self:expression(depth - 1), self:one(BINARY), self:expression(depth - 1)) end
  if kind == 10 then return ("(%s(%s))"):format(self:one(UNARY), self:expression(depth - 1)) end
  if kind == 11 then return ("%s[%s]"):format(self:variable(), self:expression(depth - 1)) end
  if kind == 12 then return ("(%s)(%s)"):format(self:fn(depth - 1), self:expression(depth - 1)) end
  if kind == 13 then return ("%s.%s"):format(self:variable(), self:one { "k1", "n", "x" }) end
  return ("select(2, pcall(%s, %s))"):format(self:fn(depth - 1), self:expression(depth - 1))
end

local STATEMENTS = {
  function(self, d) return ("%s = %s"):format(self:variable(), self:expression(d)) end,
  function(self, d) return ("%s = %s"):format(self:variable(), self:object(d)) end,
  function(self, d) return ("%s[%s] = %s"):format(self:variable(), self:expression(d - 1), self:expression(d - 1)) end,
  function(self, d) return ("pcall(function(...) %s end, %s)"):format(self:block(d - 1, self.random(3)), self:expression(d - 1)) end,
  function(self, d) return ("pcall(%s, %s)"):format(self:fn(d), self:expression(d - 1)) end,
  function(self, d) return ("xpcall(%s, %s)"):format(self:fn(d - 1), self:fn(d - 1)) end,
  function(self, d) return ("do local c <close> = %s %s end"):format(self:object(d), self:block(d - 1, 1)) end,
  function(self, d) return ("for i = 1, %s do %s end"):format(self:one(ENDS), self:block(d - 1, self.random(2))) end,
  function(self, d) return ("for k, x in pairs(%s) do v1, v2 = k, x %s end"):format(self:object(d - 1), self:block(d - 1, 1)) end,
  function(self, d) return ("for x in %s do %s end"):format(self:fn(d - 1), self:block(d - 1, 1)) end,
  function(self, d) return ("for w in (%s):gmatch(%s) do v3 = w end"):format(self:text(d - 1), self:one(TEXTS)) end,
  function(self, d) return ("while %s do %s end"):format(self:one(WHILE), self:block(d - 1, self.random(2))) end,
  function(self, d) return ("repeat %s until %s"):format(self:block(d - 1, 1), self:expression(d - 1)) end,
  function(self, d) return ("if %s then %s else %s end"):format(self:expression(d - 1), self:block(d - 1, 1), self:block(d - 1, 1)) end,
  function(self, d) return ("local co = coroutine.create(%s) for _ = 1, %d do v4 = coroutine.resume(co, %s) end pcall(coroutine.close, co)")
    :format(self:fn(d - 1), self.random(5), self:expression(d - 1)) end,
  function(self, d) return ("local w = coroutine.wrap(%s) pcall(w) pcall(w)"):format(self:fn(d - 1)) end,
  function(self, d) return ("pcall(table.sort, %s, %s)"):format(self:object(d - 1), self:fn(d - 1)) end,
  function(self, d) return ("pcall(string.gsub, %s, %s, %s)"):format(self:text(d - 1), self:one(TEXTS), self:fn(d - 1)) end,
  function(self, d) return ("f%d = %s"):format(self.random(3), self:fn(d)) end,
  function(self, d) return ("v5 = { v5, %s }"):format(self:expression(d - 1)) end,
  function(self) return ("v6 = tostring(v6) .. (%s):rep(%d)"):format(self:one(TEXTS), self.random(0, 5000)) end,
  function(self, d) return ("pcall(coroutine.yield, %s)"):format(self:expression(d - 1)) end,
  function(self, d) return ("if n_() then error(%s) end"):format(self:object(d - 1)) end,
  function(self) return ("kept[%d] = v%d"):format(self.random(9), self.random(6)) end,
  function() return "if n_() then do return f1(...) end end" end,
  function(self) return ("pcall(setmetatable, v%d, v%d)"):format(self.random(6), self.random(6)) end,
  -- metamethods that come later, which setmetatable doesn't see
  function(self, d) return ("pcall(function(t, m) setmetatable(t, m) m.%s = %s v%d = t end, %s, {})")
    :format(self:one(METAMETHODS), self:chance(30) and "t" or self:one { '"k"', '"v"', self:fn(d - 1) }, self.random(6),
      self:object(d - 1)) end,
  function(self) return ("pcall(v%d, v%d)"):format(self.random(6), self.random(6)) end,
  -- iterators that are called with something else
  function(self, d) return ("local next_ = %s(%s) pcall(next_, %s, %s)"):format(self:one { "pairs", "pairs", "ipairs", "utf8.codes" },
    self:chance(70) and self:object(d - 1) or self:text(d - 1), self:expression(d - 1), self:expression(d - 1)) end,
  function(self, d) return ("co_ = coroutine.create(function() local c <close> = %s coroutine.yield() end) coroutine.resume(co_)")
    :format(self:object(d - 1)) end,
  function() return "pcall(coroutine.close, co_)" end,
}

function writer:block(depth, n)
  if depth <= 0 then return "v1 = v2" end
  local lines = {}
  for i = 1, n do
    local line = self:one(STATEMENTS)(self, depth)
    lines[i] = self:chance(50) and ("do %s end"):format(line) or line
    self.size = self.size + #line
    if self.size > 6000 then break end
  end
  return table.concat(lines, "\n")
end

local HEAD = [[
local cjson = require "cjson"
local null = cjson.null
local v1, v2, v3, v4, v5, v6 = {}, 1, "x", { 3, 2, 1 }, nil, ""
local f1, f2, f3
local kept, log_, count_, co_ = {}, {}, 0
local function n_() count_ = count_ + 1 return count_ % 3 == 0 end
local function many(n, x) local t = {} for i = 1, n do t[i] = x end return t end
local function bush(n) local t = {} for i = 1, n do t = { a = t, t } end return t end
local function chain(n) local t = {} for i = 1, n do t = { t } end return t end
function f1(...) if n_() then return f2(...) end return pcall(f3, ...) end
function f2(...) for i = 1, 100 do kept[i] = { ... } end return f1(...) end
function f3(...) return coroutine.wrap(f1)(...) end
local a = v1
]]

---@param seed integer
---@param functions string[] names that scripts see, to be called
---@return string source of a chunk that takes no arguments; `event` and `view` are globals
function hostile.write(seed, functions)
  math.randomseed(seed)
  local self = setmetatable({ random = math.random, functions = functions, size = 0 }, writer)
  local body = {}
  for i = 1, math.random(2, 5) do
    local line = self:block(math.random(2, 6), 2)
    body[i] = self:chance(70) and ("pcall(function(...) %s\nend)"):format(line) or ("do %s\nend"):format(line)
  end
  return HEAD .. table.concat(body, "\n") .. ("\nreturn %s\n"):format(self:expression(2))
end

return hostile
