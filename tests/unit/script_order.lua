-- SPDX-License-Identifier: MIT
-- luacheck: read globals stock slice cpu_ms slower hostile
-- pairs and next give each key of a table once, in order, whatever the table went through; the stock ones say which there are.
local script = require "core.script"

local ours
local env = script.environment { export = script.trusted(function(...) ours = { ... } end) }
assert(script.call({}, nil, assert(script.load("export(pairs, next)", "@order.lua", env))))

local RANKS = { integer = 1, string = 2, float = 3, boolean = 4 }
local function rank(k) return RANKS[math.type(k) or type(k)] end
local function before(a, b)
  if rank(a) ~= rank(b) then return rank(a) < rank(b) end
  if type(a) == "boolean" then return not a and b end
  return a < b
end

local function expected(t)
  local keys = {}
  for k in next, t do keys[#keys + 1] = k end
  table.sort(keys, before)
  return keys
end

local function check(t, what)
  local keys = expected(t)
  local n = 0
  for k, v in ours[1](t) do
    n = n + 1
    assert(k == keys[n] and rawequal(v, t[k]), ("%s: pairs: key %d of %d is %s, not %s"):format(what, n, #keys, k, keys[n]))
  end
  assert(n == #keys, ("%s: pairs gave %d of %d keys"):format(what, n, #keys))
  if n > 200 then return end
  local k
  for i = 1, n + 1 do
    k = ours[2](t, k)
    assert(k == keys[i], ("%s: next: key %d of %d is %s, not %s"):format(what, i, n, k, keys[i]))
  end
end

-- The length of such a table may be any border.
check({ 1, 1, 1, 1, [5] = 1, [8] = 1, [16] = 1, [32] = 1, [64] = 1, [128] = 1, [256] = 1, [512] = 1, [1024] = 1 }, "powers of two")
check({}, "nothing")
check({ 1, 2, nil, 4 }, "a hole")
check({ nil, nil, 3 }, "only the last")

local seed = tonumber(os.getenv "SRVTHREDS_SEED") or 1
local KINDS = {
  function(n) return math.random(n) end, function(n) return 1 << math.random(0, 20) % (n + 1) end,
  function(n) return -math.random(n) end, function(n) return math.random(n) + 0.5 end,
  function(n) return "k" .. math.random(n) end, function() return math.random(2) == 1 end,
  function() return math.random(0) end, function(n) return math.random(n) // 2 * 2 end,
}
for round = seed, seed + 3000 // slower do
  math.randomseed(round)
  local t, what = {}, "SRVTHREDS_SEED=" .. round
  for _ = 1, math.random(4) do
    local kind, n = KINDS[math.random(#KINDS)], 1 << math.random(0, 8)
    local step = math.random(5)
    if step == 1 then
      for i = 1, n do t[i] = i end
    elseif step == 2 then
      for i = n, 1, -1 do t[i] = i end
    elseif step == 3 then
      for k in next, t do if math.random(3) > 1 then t[k] = nil end end
    elseif step == 4 then
      t = table.pack(table.unpack(t, 1, math.min(n, 100)))
    else
      for i = 1, n do t[kind(n)] = i end
    end
    check(t, what)
  end
end
