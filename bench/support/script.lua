-- SPDX-License-Identifier: MIT
-- What bench/script.c measures: bodies of scripts of half a millisecond or so, since a slice is 2 ms, in the sandbox
-- (`script` is core.script) or in plain Lua. Gives a function that runs one of them.
local script = ...

local BODIES = {
  -- the meter
  loop = "local s = 0 for i = 1, 100000 do s = s + i % 7 end return s",
  calls = "local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end return f(21)",
  tables = "local t for i = 1, 2500 do t = { i, name = i, inner = { i } } end return t",
  closures = "local f for i = 1, 5000 do f = function() return i end end return f",
  texts = "local s for i = 1, 4000 do s = 'n' .. i end return s",
  coroutines = [[local yield = coroutine.yield local c = coroutine.wrap(function() for i = 1, 2000 do yield(i) end end)
    for i = 1, 2000 do c() end]],
  -- string functions
  find = [[local s = ("x"):rep(200) .. "key=value" for i = 1, 1000 do s:find("(%w+)=(%w+)", 150) end]],
  plain = [[local s = ("x"):rep(200) .. "key=value" for i = 1, 5000 do s:find("key", 1, true) end]],
  match = [[for i = 1, 3000 do ("2026-11-23"):match("^(%d+)%-(%d+)%-(%d+)$") end]],
  gsub = [[local s = ("hello world "):rep(20) for i = 1, 80 do s:gsub("%w+", "<%0>") end]],
  gmatch = [[local s = ("hello world "):rep(20) for i = 1, 80 do for w in s:gmatch("%a+") do end end]],
  format = [[for i = 1, 1500 do ("%s has %d at %.2f"):format("it", i, i / 3) end]],
  concat = [[local concat, t = table.concat, {} for i = 1, 100 do t[i] = "item" .. i end for i = 1, 300 do concat(t, ", ") end]],
  rep = [[for i = 1, 4000 do ("ab"):rep(20); ("ab"):rep(3, ", ") end]],
  byte = [[local s = ("x"):rep(50) for i = 1, 8000 do s:byte(i % 50) end]],
  pack = [[for i = 1, 2000 do ("<i4s2d"):unpack(("<i4s2d"):pack(i, "abc", 1.5)) end]],
  unpack = [[local t, unpack = { 1, 2, 3, 4, 5, 6, 7, 8 }, table.unpack for i = 1, 6000 do unpack(t) end]],
  insert = [[local insert = table.insert for i = 1, 30 do local t = {} for j = 1, 50 do insert(t, j) insert(t, 1, j) end end]],
  utf8 = [[local s, len = ("häß€"):rep(10), utf8.len for i = 1, 60 do for p, c in utf8.codes(s) do len(s, p) end end]],
  -- what is meant to be another one
  names = "for i = 1, 20000 do local f = math.floor end",
  sort = "for i = 1, 3 do local t = {} for j = 1, 500 do t[j] = j * 7919 % 1009 end table.sort(t) end",
  pairs = 'local t = {} for i = 1, 20 do t["k" .. i] = i end for i = 1, 200 do for k, v in pairs(t) do end end',
  pcall = "local f = function() end for i = 1, 8000 do pcall(f) end",
  empty = "return 1",
}

local loaded, env = {}, script and script.environment {}
local limits = { cpu = 1e9, wall = 1e9 }
local call = script and script.call
for name, source in pairs(BODIES) do
  loaded[name] = assert((script and script.load or load)(source, "@bench", script and env or "t"))
end

if not script then return function(name) loaded[name]() end end
return function(name)
  local ok, e = call({}, limits, loaded[name])
  if not ok then error(e) end
end
