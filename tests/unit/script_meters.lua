-- SPDX-License-Identifier: MIT
-- luacheck: read globals stock slice cpu_ms
-- What scripts use is counted by pattern and reaction; nobody gets more than the maxima.
local script = require "core.script"

local env = script.environment { keep = {} }
local function load(source) return assert(script.load(source, "@meters.lua", env)) end
local spin = load("local s = 0 for i = 1, 300000 do s = s + i end return s")
local hold = load("local t = {} for i = 1, 1000 do t[i] = { i } end return #t")
local loop = load("while true do end")
local grow = load("local t = {} while true do t[#t + 1] = { 1 } end")

-- a meter limits as the plain table does, and counts
local ring = script.meter { pattern = "door", reaction = "ring", cpu = 20, wall = 60000, memory = 1 << 20 }
local idle = script.meter { pattern = "door", reaction = "idle", cpu = 5000, wall = 60000, memory = 1 << 20 }
local whole = script.meter { pattern = "hall" }
local none = ring:used()
assert(none.pattern == "door" and none.reaction == "ring" and none.calls == 0 and none.cpu == 0 and next(none.exceeded) == nil)

assert(script.call({}, idle, spin))
local after_spin = idle:used()
assert(after_spin.calls == 1 and after_spin.cpu > 0 and after_spin.wall >= after_spin.cpu and ring:used().calls == 0)
assert(script.call({}, idle, hold))
local after_hold = idle:used()
assert(after_hold.calls == 2 and after_hold.bytes - after_spin.bytes > 1000 * 56, after_hold.bytes)
assert(after_hold.peak > 1000 * 56 and after_hold.peak <= after_hold.bytes, after_hold.peak)

local ok, e = script.call({}, ring, loop)
assert(not ok and e.kind == "cpu" and e.message:find("the limit is 20.0 ms", 1, true), e.message)
ok, e = script.call({}, idle, grow)
assert(not ok and e.kind == "memory" and e.message:find("1048576", 1, true), e.message)
assert(ring:used().exceeded.cpu == 1 and idle:used().exceeded.memory == 1 and not idle:used().exceeded.cpu)
assert(ring:used().cpu >= 20)

-- one step under two meters: each counts its own calls, the limits of the one that runs hold for the whole step
local context = {}
local before = idle:used().calls
assert(script.call(context, idle, spin) and script.call(context, whole, spin))
assert(idle:used().calls == before + 1 and whole:used().calls == 1 and whole:used().reaction == nil)
ok, e = script.call(context, ring, loop)
assert(not ok and e.kind == "cpu")

-- the same names are the same account, and the list is in order
local again = script.meter { pattern = "door", reaction = "ring", cpu = 9 }
assert(again:used().calls == ring:used().calls)
local names = {}
for _, a in ipairs(script.accounts()) do names[#names + 1] = a.pattern .. "/" .. (a.reaction or "-") end
assert(table.concat(names, " ") == "door/ring door/idle hall/-", table.concat(names, " "))
assert(#script.accounts "door" == 2 and #script.accounts "hall" == 1 and #script.accounts "cellar" == 0)

-- what isn't one is refused
for _, bad in ipairs { {}, { pattern = 1 }, { pattern = "x", cpu = 0 }, { pattern = "x", memory = "much" } } do
  assert(not pcall(script.meter, bad))
end
assert(not pcall(script.call, {}, io.stdout, spin))

-- what makes a part of a table larger copies it at once: there is an end to that
ok, e = script.call({}, { cpu = 60000, wall = 60000, memory = 1 << 30 }, load "local t = {} for i = 1, 1 << 23 do t[i] = i end")
assert(not ok and e.kind == "memory" and e.message:find("a block of 67108864 bytes, the limit is 33554432", 1, true), e.message)

-- maxima hold against every limit
script.maxima { cpu = 30, memory = 2 << 20 }
ok, e = script.call({}, { cpu = 60000, wall = 60000 }, loop)
assert(not ok and e.kind == "cpu" and e.message:find("the limit is 30.0 ms", 1, true), e.message)
script.maxima { cpu = 60000 }
ok, e = script.call({}, { cpu = 60000, wall = 60000, memory = 1 << 30 }, grow)
assert(not ok and e.kind == "memory" and e.message:find("2097152", 1, true), e.message)
script.maxima { wall = 20 }
ok, e = script.call({}, { cpu = 60000, wall = 60000 }, loop)
assert(not ok and (e.kind == "wall" or e.kind == "cpu"), e.message)

-- all scripts together: the one that holds most goes
do
  local held = {}
  for i = 1, 10 do
    held[i] = { context = {} }
    local _
    _, held[i].text = script.call(held[i].context, nil, load "return ('x'):rep(100000)")
  end
  script.maxima { cpu = 60000, wall = 60000, memory = 32 << 20, total = 3 << 20 }
  assert(script.call({}, nil, hold))
  ok, e = script.call({}, { cpu = 60000, wall = 60000, memory = 32 << 20 }, grow)
  assert(not ok and e.kind == "memory" and e.message:find("all scripts together", 1, true), e.message)
  assert(script.call({}, nil, hold) and #held == 10)
end

-- more accounts than are kept apart share one
for i = 1, 5000 do script.meter { pattern = "p" .. i } end
assert(#script.accounts() == 4096 and #script.accounts "(others)" == 1)
