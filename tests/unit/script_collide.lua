-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower hostile
-- A table whose keys would go along each other's chains for long isn't moved; where they lie apart it may be large. Only the
-- script that makes it larger is ended.
local script = require "core.script"

local kept = {}
local env = script.environment { kept = setmetatable({}, { __index = kept, __newindex = kept }), keep = script.trusted(function(k, v) kept[k] = v end) }
local function run(source, cpu)
  return script.call({}, { cpu = cpu, wall = 60000, memory = 256 << 20 }, assert(script.load(source, "@collide.lua", env)))
end
local function collides(source, name)
  local ok, e = run(source, 3000) -- one that moved took longer
  assert(not ok and e.kind == "cpu" and e.message:find("a table whose keys collide: %d+ steps"), (name or source) .. ": " .. tostring(e and e.message))
  assert(e.file == "collide.lua" and e.message:find("collide.lua:", 1, true), e.message)
end
local function fine(source, name)
  local ok, e = run(source, 60000)
  assert(ok, (name or source) .. ": " .. (ok and "" or e.message))
end
local function filled(n, key) return ("local t = {} for i = 1, %d do t[%s] = true end "):format(n, key) end

-- by the divisor of the next size; a quarter of them; floats that differ where no hash looks
for bits = 13, 17 do collides(filled((1 << bits - 1) + 1, ("i * ((1 << %d) - 1)"):format(bits))) end
collides(filled(65537, "i % 4 == 0 and i * ((1 << 17) - 1) or i * 1000003"))
collides(filled(9000, "1 + i * 2.0 ^ -50"))
collides(filled(9000, "-(1 + i * 2.0 ^ -50)"))
-- beside more keys that go to the array then
collides [[local t = {}
  for i = 1, 70000 do t[i + 0.5] = 1 end
  for i = 1, 70000 do t[i + 0.5] = nil end
  for i = 1, 60000 do t[i * 65535] = 1 end
  for i = 1, 72000 do t[i] = 1 end]]
-- one chain, and many keys whose places its members take
collides [[local now, next_size, t, chain = 1 << 16, 1 << 17, {}, 2000
  for i = 0, chain - 1 do t[(next_size - 1) * i] = 1 end
  local place = next_size - 2
  for i = chain, now - 2 do
    t[place + (next_size - 1) * ((i - place) % (now - 1))] = 1
    place = place == next_size - 2 and next_size - chain or place - 1
  end
  for i = 1, 4 do t[i / 8] = 1 end]]
-- small integers, of which half could stand in an array, find a chain in their places; a short one, too, if they are many
for _, case in ipairs { { 14, 2750 }, { 16, 200 } } do
  collides(([[local now, next_size, chain, t = 1 << %d, 1 << %d, %d, {}
    for i = 0, now // 2 do t[now - 2 - i + (now - 1) * 2] = 1 end
    for i = 64, 63 + chain do t[(next_size - 1) * (i + (now - 1) * 64)] = 1 end
    for i = now - now // 2 - chain - 2, 0, -1 do t[next_size - 33 - i + (next_size - 1) * ((1 << 22) // (next_size - 1) - 1)] = 1 end
    for i = 1, 4 do t[i / 8] = 1 end]]):format(case[1], case[1] + 1, case[2]))
end
-- texts find a chain in their places
collides [[local t = {}
  for i = 1, 6000 do t[i * 65535] = 1 end
  for i = 1, 32768 - 6000 do t["k" .. i] = 1 end
  t.last = 1]]
-- small groups, side by side in the table as it is
collides [[local now, next_size, t = 1 << 17, 1 << 18, {}
  for i = 0, now - 2 do
    local group = i // 256
    t[group + (next_size - 1) * ((i - group) % (now - 1))] = 1
  end
  for i = 1, 4 do t[i / 8] = 1 end]]
-- groups of which each member lies in another line of the cache: fewer steps, which take longer
collides [[local now, next_size, size, t = 1 << 18, 1 << 19, 40, {}
  local groups = now // size
  for i = 0, now // 2 do t[i + (now - 1) * 4096] = 1 end
  for i = 0, now // 2 do t[i + (now - 1) * 4096] = nil end
  for place = 0, now - 2 do
    local group = place % groups * 40 % (now - 3)
    t[group + (next_size - 1) * ((place - group) % (now - 1) + (now - 1) * 8)] = 1
  end
  for i = 1, 4 do t[i / 8] = 1 end]]
-- an array that becomes smaller puts its keys first; the new key fills an array
collides [[local t = {}
  for i = 1, 4096 do t[i * 8191] = 1 end
  for i = 1, 2048 do t[i] = 1 end
  for i = 1, 2047 do t[i] = nil end
  t[0.5] = 1]]
fine [[local t = {}
  for i = 1, 1 << 18 do t[i] = i end
  for i = 1, 1 << 18 do if i % 2047 > 15 then t[i] = nil end end
  t[0.5] = 1 t[0.25] = 1]]
collides [[local t = {}
  for i = 1, 4096 do t[i * 8191 + 4096] = 1 end
  for i = 4095, 2049, -1 do t[i] = 1 end
  for i = 1, 4096 do t[-i] = 1 end
  for i = 1, 4095 do t[-i] = nil end
  for i = 4097, 6144 do t[i * 8191 + 4096] = 1 end
  for i = 1, 2048 do t[i] = 1 end]]

-- Whoever writes to it, and however. The table is full, and the next key moves it.
local full = "local t = {} for i = 1, 4096 do t[i * 8191] = 1 end local D = 8191 local function no() end no(D) "
for _, write in ipairs {
  "t[0.5] = 1", "t[7] = 1", "t.x = 1", "local _ENV = t local function f() x = 1 end f()", "rawset(t, 0.5, 1)",
  "table.move({ 1 }, 1, 1, 7, t)", "table.move({ 1 }, 1, 1, 7, t, {}, {}, {}, {}, {}, {}, {})",
  "local u = setmetatable({}, { __newindex = setmetatable({}, { __newindex = t }) }) u.x = 1",
  "local u = setmetatable({}, { __newindex = t }) table.move({ 1 }, 1, 1, 7, u)",
  "local u = setmetatable({}, { __newindex = rawset }) setmetatable(t, { __newindex = rawset }) t.x = 1",
  "coroutine.wrap(function() t.x = 1 end)()", "table.sort({ 1, 2 }, function() t.x = 1 end)",
  "setmetatable(t, { __newindex = function(t, k, v) rawset(t, k, v) end }) pcall(function() t.x = 1 end)",
  "local x <close> = setmetatable({}, { __close = function() t.x = 1 end })",
  "local c = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() t.x = 1 end }) coroutine.yield() end) coroutine.resume(c) coroutine.close(c)",
  "for i = 1, 4096 do t[i * 8191] = nil end for i = 1, 4096 do t[i * 8191] = 1 end t.x = 1",
} do
  collides(full .. write)
end
-- the new key goes to the array: as many nodes as there were
local same = "local t = {} for i = 1, 4096 do t[i * 4095] = 1 end "
for _, write in ipairs { "t[1] = 1", "table.insert(t, 1)", "local u = setmetatable({}, { __newindex = t }) table.insert(u, 1)" } do
  collides(same .. write)
end
fine(full .. "t[1] = 1")
-- one that another step of the file made
do
  local file = { cpu = 3000, wall = 60000 }
  local ok, grow = script.call({}, file, assert(script.load(full .. "return function() t[0.5] = 1 end", "@collide.lua", env)))
  assert(ok)
  local _, e = script.call({}, file, grow)
  assert(e and e.message:find("keys collide", 1, true), e and e.message)
end
-- a constructor that ends with many values moves its keys once more
for _, values in ipairs { "f()", "..." } do
  local keys = ("[k()] = 1, "):rep(8000)
  collides(("return (function(...) local i = 0 local function k() i = i + 1 return i * 8191 end local function f() return 1, 2 end local t = { %s %s } return t end)(1, 2)")
    :format(keys, values), "a constructor with " .. values)
end

-- Others that grow beside it are not meant: not in the script, and no neighbour.
fine(full .. "local u = {} for i = 1, 9000 do u[i + 0.5] = t end return #u", "beside it")
for bits = 12, 16 do
  local name = "full " .. bits
  fine(("local t = {} for i = 1, %d do t[i * ((1 << %d) - 1)] = 1 end keep(%q, t)"):format(bits == 12 and 2048 or 4096, bits, name))
  assert(kept[name])
end
for _, n in ipairs { 2049, 4097, 8193, 32769 } do fine(filled(n, "'k' .. i")) end

for _, key in ipairs { "i", "-i", "i * 1000", "i * 4096", "i * 65536", "1790000000000 + i", "1790000000000 + i * 60000", "i << 40", "i * 0.5", "i / 1000",
  "i * 1e10 + 0.5", "1 / i", "math.random()", "math.random(0)", "tostring(i)", "{}", "function() return i end", "(i * 2654435761) ~ (i << 20)",
  "(i // 256) * 4096 + i % 256", "i % 2 == 0 and i or i + 0.5", "i <= 60 and 1790000000 + i / 1000 or i * 1000003" } do
  fine(filled(slower > 1 and 10000 or 70000, key))
end
if slower == 1 then -- the page faults of so much memory would make what comes later slow
  for _, key in ipairs { "math.random(0)", "math.random()", "i * 1000", "{}", "i % 2 == 0 and i or 'k' .. i" } do fine(filled((1 << 19) + 1, key)) end
  fine(filled(65536, "(i // 256 << 16) + i % 256"))
  collides(filled(66000, "(i // 256 << 16) + i % 256"))
  fine(filled(262145, "1790000000000 + i * 60000"))
  -- shares the divisor 75 with the next size less one
  collides(filled((1 << 19) + 1, "1790000000000 + i * 60000"))
end
fine("local t = {} for i = 1, 200000 do t[i * ((1 << 17) - 1)] = true t[i * ((1 << 17) - 1)] = nil end") -- those that went

-- Our functions look at the clock at each value: one alone may take as long as its chain.
if not hostile then
  local function ended(source)
    local ok, e = run(source, 60000)
    assert(not ok and e.kind == "cpu" and e.message:find("in one piece", 1, true), source .. ": " .. (ok and "not ended" or e.message))
  end
  -- half of all nodes in one chain, through which each look goes
  local chain = [[local size, group, first, t, all, own = 1 << 16, 8, nil, {}, {}, {}
    local D = size - 1
    for place = 0, size // 2 do t[place + D * 100] = 1 end
    t[5 + D * 777] = 1
    local free, at, q, last = size - 1, 7, 300, 0
    t[at + D * 100] = nil t[at + D * 200] = 1
    while free - group > size // 2 + 2 do
      for i = 1, group do
        q, free = q + 1, free - 1
        local key = at + D * q
        t[key] = 1 all[#all + 1] = key
        if i == 1 then first, last = key, free end
      end
      t[first] = nil q, at = q + 1, last
      t[at + D * q] = 1 own[#own + 1] = at + D * q
    end ]]
  ended(chain .. "table.unpack(t, D * 9000 + 1, D * 9000 + 60000)")
  ended(chain .. [[local removed
    for _ in pairs(t) do
      if removed then break end
      removed = true
      for place = 0, size // 2 do t[place + D * 100] = nil end
      for _, key in ipairs(all) do t[key] = nil end
      t[5 + D * 777] = nil t[7 + D * 200] = nil
      for _, key in ipairs(own) do t[key] = nil t[key + D * (1 << 30)] = 1 end
    end]])
  ended [[local t = {} for i = 1, 1990 do t = setmetatable({}, { __index = t }) end table.unpack(t, 1, 99999)]]
  for _, compare in ipairs { "", ", function(a, b) return a < b end" } do
    ended(([[local t, a = {}, {} for i = 1, 1990 do t = setmetatable({}, { __newindex = t }) end
      for i = 1, 20000 do a[i] = i end
      getmetatable(t).__index, getmetatable(t).__len = a, function() return 20000 end
      table.sort(t%s)]]):format(compare))
  end
end
