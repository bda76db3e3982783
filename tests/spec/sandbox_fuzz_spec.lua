-- SPDX-License-Identifier: MIT
-- Scripts that a grammar writes (tests/fuzz/hostile.lua), several at a time: each ends within its limits, gives back all its
-- memory, and changes nothing for others. The first line says the seed; SRVTHREDS_SEED=n begins with script n.
local t = require "srvthreds.spec"
local build = require "core.build"
local json = require "core.json"
local runtime = require "core.runtime"
local script = require "core.script"
local seen = require "seen"
local world = require "world"

package.path = package.path .. ";tests/fuzz/?.lua"
local hostile = require "hostile"

local HOSTILE, SANITIZED = os.getenv "SRVTHREDS_GC", build.build:find "sanitizer"
local LONG = os.getenv "SRVTHREDS_LONG"
local SECONDS = tonumber(os.getenv "SRVTHREDS_FUZZ_SECONDS") or LONG and (HOSTILE and 60 or SANITIZED and 600 or 60)
  or SANITIZED and not HOSTILE and 20 or 5
local AT_ONCE = 4
local LIMITS = { cpu = 20, wall = 60000, memory = 4 << 20 }
local LONGEST = 5000 -- ms of CPU time for some scripts of 20 ms; a hang is longer
local KINDS = { error = true, cpu = true, memory = true, stack = true, wall = true }

local functions = { "cjson.encode", "cjson.decode", "event.value", "view.n" }
for _, name in ipairs(seen.listed "") do functions[#functions + 1] = name end

local function environment()
  return script.environment {
    event = json.doc('{"a":1,"values":{"n":[1,2,{"message":"x"}]}}'), view = json.view { k1 = { 1, 2 }, n = 5 },
    require = script.module,
  }
end

local function show(seed, source) return ("seed %d\n%s"):format(seed, source) end

local function run(seed, source)
  local fn, e = script.load(source, "@fuzz.lua", environment())
  if not fn then error(show(seed, source) .. e.message, 0) end
  local ok, v = script.call({ now = 0, seed = seed }, LIMITS, fn)
  if ok then return "ended" end
  if not KINDS[v.kind] or type(v.message) ~= "string" then error(show(seed, source) .. "an odd error", 0) end
  return v.kind
end

-- Coroutines that are kept for the next call hold a few hundred bytes of the last one, of which each collection frees half;
-- the 512 names that core.json keeps may be a script's.
local SPARE = 40 << 10

local function held(enough)
  local bytes
  for _ = 1, 16 do
    collectgarbage()
    bytes = script.memory().scripts
    if bytes <= enough then break end
  end
  return bytes
end

-- The scripts seed … seed + AT_ONCE - 1, pre-empting each other.
local function batch(seed, kinds)
  local sources, done, began = {}, 0, os.clock()
  for i = 0, AT_ONCE - 1 do
    sources[i] = hostile.write(seed + i, functions)
    runtime.spawn(function()
      local ok, kind = pcall(run, seed + i, sources[i])
      done = done + 1
      if not ok then kinds.problem = kind end
      kinds[kind] = (kinds[kind] or 0) + 1
    end)
  end
  runtime.advance(0)
  local took = (os.clock() - began) * 1000
  t.eq(kinds.problem, nil)
  t.eq(done, AT_ONCE, ("seeds from %d"):format(seed))
  if took > LONGEST then error(("the scripts from seed %d took %.0f ms"):format(seed, took)) end
end

local function walk()
  local source = "local null = require('cjson').null\n" .. seen.WALK .. [[
    return table.concat(walk({ { "ENV", _ENV }, { "cjson", require "cjson" } }, { ROOT = true }), "\n")]]
  local ok, text = world.task(function()
    local fn = assert(script.load(source, "@walk.lua", script.environment { require = script.module }))
    return script.call({ now = 0, seed = 1 }, { cpu = 5000 }, fn)
  end)
  t.ok(ok, not ok and text.message)
  return text
end

t.test("scripts of a grammar", function()
  local seed = tonumber(os.getenv "SRVTHREDS_SEED") or LONG and os.time() * 1000 or 1
  print(("# seed %d, %d s"):format(seed, SECONDS))
  local first, kinds, count, until_ticks = walk(), {}, 0, runtime.ticks() + SECONDS * 1000000000
  batch(seed, {}) -- what is made once
  local before = held(0) + SPARE
  while runtime.ticks() < until_ticks do
    if count % 400 == 0 then
      print(("# from seed %d"):format(seed))
      io.stdout:flush()
    end
    batch(seed, kinds)
    local after = held(before)
    if after > before then error(("the scripts from seed %d left %d bytes"):format(seed, after - before)) end
    if count % 400 == 0 then t.eq(walk(), first, ("after seed %d"):format(seed)) end
    seed, count = seed + AT_ONCE, count + AT_ONCE
  end
  local text = {}
  for kind, n in pairs(kinds) do text[#text + 1] = ("%s %d"):format(kind, n) end
  table.sort(text)
  print(("# %d scripts: %s; %d bytes held, %d at first"):format(count, table.concat(text, ", "), held(0), before - SPARE))
  t.eq(walk(), first)
  t.ok(count > 20)
end)

return t.finish()
