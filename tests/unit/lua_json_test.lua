-- SPDX-License-Identifier: MIT
local json = require "core.json"
local mode = ...

local function same(got, want)
  if got ~= want then error(("got %s, expected %s"):format(tostring(got), tostring(want)), 2) end
end

local function refuses(code, what, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("was not refused: " .. what, 2) end
  if type(err) ~= "table" then error("no error table: " .. tostring(err), 2) end
  if err.code ~= code or not err.message:find(what, 1, true) then
    error(("got %s %q, expected %d %q"):format(err.code, err.message, code, what), 2)
  end
end

-- decode and encode
local text = '{"a":[],"b":{},"c":null,"d":[1,2.5,-0.0,1e300,9223372036854775807,-9223372036854775808],' ..
  '"e":"x\\u0000\\n","f":true,"g":false}'
local v = json.decode(text)
same(json.encode(v), text)
same(v.c, json.null)
same(math.type(v.d[5]), "integer")
same(math.type(json.decode("1.0")), "float")
same(json.encode(1.0), "1.0")
same(json.encode({}), "{}")
same(json.encode(json.array()), "[]")
same(json.encode({ 3, 2, 1 }), "[3,2,1]")
same(json.encode({ b = 1, a = 2, ["a\0"] = 3, aa = 4 }), '{"a":2,"a\\u0000":3,"aa":4,"b":1}')
same(json.canonical(' { "b" : 1 , "a" : [ 1.50 , 1E2 ] } '), '{"a":[1.5,100.0],"b":1}')
same(json.is_array(v.a), true)
same(json.is_array(v.b), false)

refuses(4000, 'the key "a" comes twice', json.decode, '{"a":1,"b":2,"a":3}')
refuses(4000, "offset 7 (line 2, column 5): found ']', expected a value", json.decode, '[1\n  , ]')
refuses(4000, "9223372036854775808 does not fit in 64 bits", json.decode, "9223372036854775808")
refuses(4000, "deeper than 2 levels", json.decode, "[[[1]]]", { depth = 2 })
refuses(4000, "more than the limit of 3", json.decode, "[[[1]]]", { size = 3 })
refuses(4200, "limits.depth", json.decode, "1", { depth = 1e9 })
refuses(4200, "JSON bytes expected", json.decode, 12)

refuses(4200, "$.values.items[3].x is a function", json.encode, { values = { items = { 1, 2, { x = print } } } })
refuses(4200, "$.a[2] is NaN", json.encode, { a = { 1, 0 / 0 } })
refuses(4200, "$ is infinite", json.encode, 1 / 0)
refuses(4200, "$[3] is a hole", json.encode, { 1, 2, nil, 4 })
refuses(4200, "$.m is a table with both", json.encode, { m = { 1, 2, x = 1 } })
refuses(4200, "$ has a boolean as a key", json.encode, { [true] = 1 })
refuses(4200, "$ has a number as a key", json.encode, { [1.5] = 1 })
refuses(4200, "$ has a number as a key", json.encode, { [1 << 40] = 1 })
refuses(4200, '$["a b"] is a string that is not UTF-8', json.encode, { ["a b"] = "\xff" })
refuses(4200, '$["?"] has a name that is not UTF-8', json.encode, { ["\xff"] = 1 })
local loop = { x = {} }
loop.x.y = loop
refuses(4200, "$.x.y contains itself", json.encode, loop)
local deep = {}
for _ = 1, 101 do deep = { deep } end
refuses(4200, "deeper than 100 levels", json.encode, deep)
local many = { 1 }
for _ = 1, 40 do many = { many, many } end
if mode == "whole" then refuses(4200, "larger than 64 MiB", json.encode, many) end

-- docs
local d = json.doc(text)
same(type(d), "userdata")
same(#d.d, 6)
same(d.d[2], 2.5)
same(d.d[7], nil)
same(d.d[1.0], 1)
same(d.none, nil)
same(d.c, json.null)
same(d.e, "x\0\n")
same(d.d, d.d)
same(d.d == d.a, false)
same(json.encode({ z = d.d }), '{"z":[1,2.5,-0.0,1e300,9223372036854775807,-9223372036854775808]}')
same(json.bytes(d), text)
same(json.bytes(d.b), "{}")
same(json.bytes(d, "b"), "{}")
assert(json.bytes(d, "nothing") == nil and select("#", json.bytes(d, "nothing")) <= 1)
same(json.size(d.b), 2)
same(tostring(d), text:sub(1, 60) .. "...")
same(json.kind(d), "object")
same(json.kind(d.a), "array")
same(json.kind(json.null), "null")
same(json.kind(print), nil)
same(json.doc("12"), 12)
local keys = {}
for k, val in pairs(d) do
  keys[#keys + 1] = k
  same(json.equal(val, d[k]), true)
end
same(table.concat(keys), "abcdefg")
local sum = 0
for i, n in ipairs(json.doc("[3,2,1]")) do sum = sum * 10 + i * n end
same(sum, 3 * 100 + 4 * 10 + 3)
local u = json.doc('{"z":{"k":[true]}, "a\\u0062":1, "a":2}')
keys = {}
for k in pairs(u) do keys[#keys + 1] = k end
same(table.concat(keys, " "), "a ab z")
same(u.ab, 1)
same(json.encode(u), '{"a":2,"ab":1,"z":{"k":[true]}}')
same(json.encode(u.z), '{"k":[true]}')
refuses(4200, "the event is read-only: $.z.k[1] can't be set", function() u.z.k[1] = 2 end)
same(getmetatable(d), false)

local class = json.doc_class {
  methods = { hello = function(self, x) return x .. self.a end },
  paths = { k = { "z", "k" }, none = { "z", "no", "thing" } },
  name = "the message",
}
local c = json.doc('{"a":"A","hello":1,"z":{"k":[7]}}', class)
same(c:hello("x"), "xA")
same(c.k[1], 7)
same(c.none, nil)
same(c.z.hello, nil)
refuses(4200, "the message is read-only: $.new can't be set", function() c.new = 1 end)
local context = {}
local w = json.with(c, context)
same(json.context(w), context)
same(json.context(w.z.k), context)
same(json.context(c), nil)
same(w:hello("y"), "yA")
same(w == c, true)
same(json.context(json.with(w, 5)), 5)
same(json.with(c.z, 1).k[1], 7)

-- views
local t = { b = { 1, 2, { x = 1 } }, a = "s", [1] = "one", [2] = "two" }
local view = json.view(t)
same(view.a, "s")
same(view.b[3].x, 1)
same(#view, 2)
same(#view.b, 3)
same(view.b == view.b, true)
keys = {}
for k in pairs(view) do keys[#keys + 1] = tostring(k) end
same(table.concat(keys, " "), "1 2 a b")
refuses(4200, "this value is read-only: $.b[3].x can't be set", function() view.b[3].x = 2 end)
t.b[3].x = 5
same(view.b[3].x, 5)
same(json.encode(view.b), '[1,2,{"x":5}]')
same(tostring(view.b), '[1,2,{"x":5}]')
refuses(4200, "locals is read-only: $.q can't be set", function() json.view({}, "locals").q = 2 end)

-- copy, equal, value_named
local m = json.copy(d)
m.d[1] = "changed"
same(json.encode(json.copy(d)), text)
same(json.encode(json.copy(json.view { x = d, y = json.array() })), '{"x":' .. text .. ',"y":[]}')
same(json.equal(json.doc("[1,2.0,{}]"), { 1.0, 2, {} }), true)
same(json.equal(json.doc("[1,2.0,{}]"), { 1.0, 2, json.array() }), false)
same(json.equal({ a = 1 }, { a = 1, b = 2 }), false)
same(json.equal({ a = 1, b = 2 }, { a = 1 }), false)
same(json.equal(json.doc('{"a":1, "b":[2]}'), json.doc('{"b":[2],"a":1}')), true)
local other = { x = {} }
other.x.y = other
refuses(4200, "deeper than", json.equal, loop, other)
refuses(4200, "contains itself", json.copy, loop)
if mode == "whole" then refuses(4200, "more than", json.copy, many) end
local values = '{"b":{"n":1},"a":[{"n":null},{"m":{"n":2}}],"n":null}'
same(json.value_named(json.doc(values), "n"), 2)
same(json.value_named(json.decode(values), "n"), 2)
same(json.value_named(json.view(json.decode(values)), "n"), 2)
same(json.value_named(json.view(json.decode(values)), "m").n, 2)
same(json.value_named(json.decode(values), "q"), nil)
same(json.value_named(12, "q"), nil)
refuses(4200, "contains itself", json.value_named, loop, "q")
