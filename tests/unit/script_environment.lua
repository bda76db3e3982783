-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower
-- What scripts see is what docs/sandbox.md lists, no more and no less; and there is no way past it.
local script = require "core.script"
local json = require "core.json"

local found = {}
local env = script.environment { found = found }
local walk = [[
local function walk(t, prefix)
  for k, v in pairs(t) do
    if k ~= "found" then
      found[#found + 1] = prefix .. k
      if type(v) == "table" then walk(v, prefix .. k .. ".") end
    end
  end
end
walk(_ENV, "")
]]
local ok, problem = script.call({}, nil, assert(script.load(walk, "@walk", env)))
assert(ok, problem and problem.message)

local listed = {}
for line in io.lines("docs/sandbox.md") do
  if line:find "^## " then break end -- what follows isn't in every environment
  local name = line:match("^| `([%w_.]+)` |")
  if name then listed[#listed + 1] = name end
end
table.sort(listed)
table.sort(found)
assert(table.concat(found, "\n") == table.concat(listed, "\n"),
  "docs/sandbox.md and the environment differ; the environment has\n" .. table.concat(found, "\n"))

-- escapes: each must raise, or give what is said
local secret = setmetatable({}, { __index = { x = 1 } })
local doc = json.doc('{"a":1,"b":[1,2,3],"c":{"d":null}}')
local view = json.view({ a = 1, b = { 1, 2, 3 } })
local function try(source, ...)
  local fn = assert(script.load(source, "@escape.lua", script.environment { doc = doc, view = view, secret = secret, null = json.null }))
  return script.call({ now = 0, seed = 1 }, { cpu = 100 * slower }, fn, ...)
end
local function refused(source)
  local fine, e = try(source)
  if fine then error("not refused: " .. source, 2) end
  if e.kind ~= "error" or not e.message:find("escape.lua:1: ", 1, true) then error(source .. ": " .. e.message, 2) end
end
local function gives(expected, source)
  local fine, value = try(source)
  if not fine then error(source .. ": " .. value.message, 2) end
  if value ~= expected then error(("%s gave %s"):format(source, tostring(value)), 2) end
end

for _, name in ipairs {
  "load", "loadstring", "loadfile", "dofile", "require", "package", "debug", "io", "collectgarbage", "print", "newproxy", "setfenv", "getfenv",
  "module", "_G", "arg", "warn", "jit", "ffi", "os.exit", "os.execute", "os.getenv", "os.remove", "os.rename", "os.tmpname", "os.setlocale",
  "os.difftime", "os.clock", "string.dump", "coroutine.main",
} do
  if name:find(".", 1, true) then gives(nil, "return " .. name) else refused("return " .. name) end
end
for _, source in ipairs {
  "_ENV.x = 1", "_ENV['print'] = 1", "rawset(_ENV, 'x', 1)", "setmetatable(_ENV, {})", "setmetatable(_ENV, nil)", "string.format = nil", "math.pi = 3",
  "table.insert(string, 1)", "table.insert(_ENV, 1)", "rawset(string, 'rep', 1)", "setmetatable(string, {})", "setmetatable('', {})", "utf8.x = 1",
  "coroutine.wrap = nil", "os.time = nil", "table.sort = nil", "pcall = nil", "('').x = 1", "setmetatable({}, { __gc = function() end })",
  "setmetatable({}, { __mode = 'k' })", "local t = setmetatable({}, { __metatable = 1 }) setmetatable(t, {})", "doc.a = 2", "doc.b[1] = 2", "doc.c.e = 1",
  "rawset(doc, 'a', 1)", "table.insert(doc.b, 1)", "table.remove(doc.b)", "table.sort(doc.b)", "view.a = 2", "view.b[1] = 1", "rawset(view, 'a', 1)",
  "table.insert(view.b, 1)", "setmetatable(doc, {})", "setmetatable(view, {})", "table.move({ 1 }, 1, 1, 1, doc.b)", "math.randomseed()", "table.move({ 1 }, 1, 1, 1, _ENV)",
  "string.format('%p', {})", "coroutine.resume(1)", "coroutine.yield()", "coroutine.close(coroutine.running())", "goto_nowhere()", "local x <close> = 1",
  "table.unpack({}, 1, 1e6)", "('x'):rep(1e9)", "string.pack('c999999999', '')", "error()", "tostring()", "setmetatable({})",
} do refused(source) end
-- weak tables: a `__mode` that comes later does nothing; trusted code has its own
gives(3, [[local mt = {} local t = setmetatable({}, mt) mt.__mode = "kv" t.a, t[1], t[true] = {}, {}, {}
  for _ = 1, 200000 do local garbage = {} end
  local n = 0 for k, v in next, t do n = n + 1 end return n]])
do
  local keys, values = script.weak("k", { __index = function() return "none" end }), script.weak "v"
  keys[{}], values[1] = true, {}
  collectgarbage()
  assert(next(keys) == nil and next(values) == nil and keys.x == "none")
  assert(not pcall(script.weak, "x"))
end
refused("return os.time { year = math.mininteger, month = 1, day = 1 }")
refused("return os.time { year = math.maxinteger, month = 1, day = 1 }")

gives(false, "return getmetatable('')")
gives(false, "return getmetatable(_ENV)")
gives(false, "return getmetatable(string)")
gives(false, "return getmetatable(doc)")
gives(false, "return getmetatable(view)")
gives(nil, "return ('').dump")
gives("table", "return tostring({})")
gives("function", "return tostring(pairs)")
gives("thread", "return tostring(coroutine.create(function() end))")
gives("null", "return tostring(null)")
gives("table function", "return string.format('%s %s', {}, type)")
gives(false, "return (coroutine.resume(coroutine.running()))")
gives(true, "local co, main = coroutine.running() return main")
gives(nil, "local t = setmetatable({}, { __index = function(t, k) return rawget(t, k) end }) return t.x")
gives("read-only", "local ok, e = pcall(function() string.x = 1 end) return e:match('read%-only')")

-- docs and views are tables to scripts
gives("table", "return type(doc)")
gives("table", "return type(view)")
gives("a b c", "local r = {} for k in pairs(doc) do r[#r + 1] = k end return table.concat(r, ' ')")
gives("a b", "local r = {} for k in pairs(view) do r[#r + 1] = k end return table.concat(r, ' ')")
gives("a", "return (next(doc))")
gives("6", "local s = 0 for i, v in ipairs(doc.b) do s = s + v end return tostring(s)")
gives("1-2-3", "return table.concat(doc.b, '-') ")
gives("1-2-3", "return table.concat(view.b, '-') ")
gives(3, "return select('#', table.unpack(doc.b))")
gives(3, "return #doc.b + #view.b - rawlen(doc.b)")
gives(1, "return rawget(doc, 'a')")
gives("1,2,3", "return table.concat(table.move(doc.b, 1, 3, 1, {}), ',')")

-- two environments share nothing that can be written
do
  local a = assert(script.load("local t = ... t.x = 1 return t", "@a", script.environment {}))
  local b = assert(script.load("return pcall(function() return y end)", "@b", script.environment {}))
  assert(script.call({}, nil, a, {}))
  local _, fine = script.call({}, nil, b)
  assert(fine == false)
end
