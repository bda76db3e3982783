-- SPDX-License-Identifier: MIT
-- Transforms: what a compiled template renders is what a plain walk over it renders.
local t = require "srvthreds.spec"
local json = require "core.json"
local limits = require "srvthreds.engine.limits"
local template = require "srvthreds.engine.template"

-- A step that notes what is called.
local function step_of(calls)
  return {
    call = function(_, doing, fn)
      calls[#calls + 1] = doing
      return fn()
    end,
    call_plain = function(_, _, fn) return fn() end,
    fail = function(_, doing, message) error(doing .. ": " .. message, 0) end,
  }
end

-- The same, straightforwardly: a copy of the template with the functions' values, encoded at the end.
local function walk(v, path, calls)
  if type(v) == "function" then
    calls[#calls + 1] = "transform." .. path
    return v()
  end
  if type(v) ~= "table" then return v end
  local out, keys = {}, {}
  if json.is_array(v) or #v > 0 then
    out = json.array {}
    for i, x in ipairs(v) do
      out[i] = walk(x, ("%s[%d]"):format(path, i), calls)
      if out[i] == nil then error("a hole", 0) end
    end
    return out
  end
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  for _, k in ipairs(keys) do out[k] = walk(v[k], path == "" and k or path .. "." .. k, calls) end
  return out
end

local function plainly(transform)
  local calls = {}
  local data = walk(transform, "", calls)
  local re = data.re
  data.re = nil
  return json.encode(data), re, calls
end

local function rendered(transform)
  local calls = {}
  local head, text, tail, re = template.render(transform, step_of(calls))
  return head .. text .. tail, re, calls
end

local WORDS = { "a", "b", "content", "re", "title", "z", "with \"quotes\"", "é", "x.y" }

local function scalar(random)
  local list = { 1, -2.5, "text", "\"\\\n", json.null, true, false, "" }
  return list[random(#list)]
end

local function tree(random, depth)
  local kind = depth > 4 and random(4) or random(8)
  if kind == 1 then return function() end end -- its key vanishes, an item is a mistake
  if kind == 2 then
    local v = random(3) == 1 and { x = scalar(random), list = json.array { 1 } } or scalar(random)
    return function() return v end
  end
  if kind <= 4 then return scalar(random) end
  local v = kind == 5 and json.array {} or {}
  for _ = 1, random(5) - 1 do
    local inner = tree(random, depth + 1)
    if kind == 5 then v[#v + 1] = inner else v[WORDS[random(#WORDS)]] = inner end
  end
  return v
end

t.test("random templates render as a plain walk does, and call their functions in the same order", function()
  local seed = os.time()
  math.randomseed(seed)
  local shown = 0
  for i = 1, 3000 do
    local transform = {}
    for _ = 1, math.random(6) - 1 do transform[WORDS[math.random(#WORDS)]] = tree(math.random, 1) end
    if type(transform.re) == "table" then transform.re = nil end -- no id
    local what = ("seed %d, template %d"):format(seed, i)
    local good, text, re, calls = pcall(plainly, transform)
    for _ = 1, 2 do -- the second time from the compiled one
      local ok, got, got_re, got_calls = pcall(rendered, transform)
      t.eq(ok, good, what)
      if ok then
        t.eq(got, text, what)
        t.ok(got_re == re or json.equal(got_re, re), what)
        t.eq(got_calls, calls, what)
        shown = shown + 1
      end
    end
  end
  t.ok(shown > 2000)
end)

t.test("a list with holes or stray keys is an error, with functions in it or without, told or made", function()
  local function fn() return "x" end
  local function raises(list, text)
    for _, transform in ipairs { { a = list }, function() return { a = list } end } do
      t.raises(function() rendered(transform) end, text)
    end
  end
  for _, v in ipairs { "v", fn } do
    raises({ v, nil, v }, "$.a[2] is a hole")
    raises({ v, v, nil, v, nil, v }, "$.a[3] is a hole")
    raises({ v, n = v }, "$.a is a table with both list entries and named keys")
    raises({ v, [0] = v }, "$.a is a table with both list entries")
    raises({ v, [1.5] = v }, "$.a is a table with both list entries")
    raises({ v, [true] = v }, "$.a has a boolean as a key")
    raises({ [2] = v }, "$.a has a number as a key")
    raises(json.array { n = v }, "$.a is a table with both list entries and named keys")
    raises({ { v }, { v, nil, v } }, "$.a[2][2] is a hole")
  end
end)

t.test("a template is as it was, however often it is rendered", function()
  local inner = { a = 1 }
  local transform = { re = "id", title = function() return "x" end, content = inner }
  for _ = 1, 2 do t.eq({ rendered(transform) }, { '{"content":{"a":1},"title":"x"}', "id", { "transform.title" } }) end
  t.eq({ transform.re, type(transform.title), transform.content == inner, inner.a }, { "id", "function", true, 1 })
end)

t.test("only the template's own `re` is the event's", function()
  local function fn() return "x" end
  for _, transform in ipairs { { [""] = { re = fn, a = 1 } }, { [""] = { re = fn } }, { content = { re = fn } } } do
    local text, re = rendered(transform)
    t.eq({ text, re }, { (plainly(transform)), nil })
  end
end)

t.test("the data is bounded as a whole: in bytes, and in depth", function()
  local half = ("x"):rep(limits.document * 6 // 10)
  local function fn() return half end
  local function all() return { a = half, b = fn } end
  for _, transform in ipairs { { a = half, b = fn }, { a = fn, b = fn }, { a = fn, b = fn, c = 1 }, all } do
    t.raises(function() rendered(transform) end, "larger than")
  end
  local function nested(n, inner)
    for _ = 1, n do inner = { x = inner } end
    return inner
  end
  local function deep() return nested(60, 1) end
  t.eq((rendered(nested(39, deep))), (plainly(nested(39, deep))))
  t.raises(function() rendered(nested(40, deep)) end, "deeper than")
  t.raises(function() rendered(nested(40, { y = deep, z = 1 })) end, "deeper than")
end)

return t.finish()
