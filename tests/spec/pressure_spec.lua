-- SPDX-License-Identifier: MIT
-- Near the limit of memory less is taken in, and who waits goes on in turn.
local t = require "srvthreds.spec"
local logs = require "core.log"
local pressure = require "srvthreds.pressure"
local runtime = require "core.runtime"

logs.level "error"

local MB = 1 << 20

local function new()
  local now = { heap = 10 * MB, scripts = 0, bytes = 0, depth = 1 }
  local p = pressure.new {
    limit = 100 * MB, scripts = 20 * MB, queued = 10 * MB, memory = function() return now end,
    queue = { bytes = function() return now.bytes end, depth = function()
      if now.hook then now.hook() end -- those who wait have been told, and not gone on yet
      return now.depth
    end },
  }
  return p, now
end

local function spawn(log, p, name, method)
  runtime.spawn(function()
    p[method](p)
    log[#log + 1] = name
  end)
end

t.test("taking in waits near the limit, first come first served, and goes on well below it", function()
  local p, now = new()
  local log = {}
  spawn(log, p, "a", "wait_to_take")
  runtime.advance(0)
  t.eq(log, { "a" })
  now.heap = 70 * MB
  runtime.advance(20)
  t.ok(p.high)
  t.ok(p:summary():find("70 MiB of memory.limit (100 MiB)", 1, true), p:summary())
  for _, name in ipairs { "b", "c" } do spawn(log, p, name, "wait_to_take") end
  now.heap = 55 * MB -- not well below
  runtime.advance(40)
  t.eq(log, { "a" })
  now.heap, now.depth = 30 * MB, 0
  now.hook = function()
    now.hook = nil
    spawn(log, p, "d", "wait_to_take") -- comes in between: behind them
  end
  runtime.advance(20)
  t.eq(now.hook, nil)
  runtime.advance(20)
  t.eq(log, { "a", "b", "c", "d" })
  t.eq(p:summary(), nil)
  p:close()
end)

t.test("what waits in the queue counts, and scripts make steps wait, not senders", function()
  local p, now = new()
  local log = {}
  p:touch()
  now.bytes = 9.5 * MB
  runtime.advance(20)
  t.eq({ p.high, p.steps_wait }, { true, false })
  now.bytes, now.scripts = 0, 15 * MB
  runtime.advance(20)
  t.eq({ p.high, p.steps_wait }, { false, true })
  for _, name in ipairs { "a", "b" } do spawn(log, p, name, "wait_to_step") end
  runtime.advance(20)
  t.eq(log, {})
  now.scripts = 0
  runtime.advance(20)
  t.eq(log, { "a", "b" })
  t.eq(p.steps_wait, false)
  p:close()
end)

t.test("it looks while there is work only; closed, nobody waits", function()
  local p, now = new()
  local log = {}
  p:touch()
  now.depth = 0
  runtime.advance(20)
  now.heap = 90 * MB -- nobody looks any more
  runtime.advance(1000)
  t.eq(p.high, false)
  p:touch()
  runtime.advance(20)
  t.eq(p.high, true)
  spawn(log, p, "a", "wait_to_take")
  p:close()
  runtime.advance(0)
  t.eq(log, { "a" })
end)

t.test("limits by the machine, each by itself where it is said", function()
  local most = pressure.limits {}
  t.eq({ most.scripts, most.queue }, { most.limit // 4, most.limit // 8 })
  t.ok(most.limit >= 256 * MB and most.cache <= 128 * MB)
  t.eq(pressure.limits { ["memory.limit"] = 80 * MB, ["memory.queue"] = MB },
    { limit = 80 * MB, scripts = 20 * MB, queue = MB, cache = 10 * MB })
end)

return t.finish()
