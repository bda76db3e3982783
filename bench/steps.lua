-- SPDX-License-Identifier: MIT
-- Durable steps through the whole engine, in one process: each an event accepted and matched, locals changed, one message
-- out, log, record and mark, on SQLite with synchronous=FULL. The driver shares the loop's thread and is counted.
--   bench_lua bench/steps.lua [FOLDER [RUNS]]
-- Prints a line for each run as well, and "between": bench/ratio.py stops the process there for a turn of the other side.

local json = require "core.json"
local metrics = require "core.metrics"
local runtime = require "core.runtime"
local stores = require "core.store"
local accept = require "srvthreds.session.accept"
local directory = require "srvthreds.directory"
local engine = require "srvthreds.engine"
local events = require "srvthreds.engine.event"
local host = require "srvthreds.engine.host"
local load = require "srvthreds.pattern.load"
local patterns = require "srvthreds.engine.patterns"

local folder, runs = ...
folder = folder or "build"

local WINDOW = 4 -- events of one source under way: the loop works on while a commit or a checkpoint takes its time
local SOURCES, THREDS, OLD, RUNS, SECONDS = 256, 10000, 150000, math.tointeger(runs) or 5, 2

local PATTERN = [[local p = require "srvthreds.pattern"
return p.pattern "Bench" {
  p.reaction "begin" { p.where { type = "bench.begin" } {} },
  p.reaction "count" {
    p.where { type = "bench.step" } {
      on_true = function(event, thred) thred.n = (thred.n or 0) + event:value "by" end,
      transform = {
        title = "Step taken", description = "The thred has counted one more event of its participant",
        content = { valuesType = "count", values = function(event, thred)
          return { n = thred.n, unit = "steps", note = "as asked for by the participant", area = { lat = 33.4484, lon = -112.074 } }
        end },
      },
      publish = function(event) return event.source.id end,
      transition = "$noTransition",
    },
  },
}]]

local function participants()
  local all = {}
  for i = 1, SOURCES do all["source" .. i] = { roles = {} } end
  return all
end

local world = {}

local function open()
  local path = ("%s/bench-steps-%d"):format(folder, runtime.pid())
  runtime.mkdirs(path)
  world.path = path
  world.store, world.queue = stores.open { url = "sqlite:" .. path .. "/srvthreds.db", queue = "local:" }
  local reg = patterns.new(world.store)
  local pattern, problems = load.load(PATTERN, "bench.lua", { host = host })
  if not pattern then error(problems[1].message) end
  pattern.version = runtime.sha256(PATTERN)
  world.store:put_pattern { id = pattern.id, hash = pattern.version, files = { ["bench.lua"] = PATTERN }, file = "bench.lua",
    at = runtime.now(), activate = true }
  reg:use(pattern)
  world.engine = engine.new { store = world.store, queue = world.queue, patterns = reg,
    directory = directory.new { participants = participants() } }
  world.engine:start()
end

local n = 0
local rnd = math.random

-- An event of about 481 bytes as it comes from the edge: canonical, from its source.
local HEAD = '{"data":{"content":{"values":{"altitude":331,"battery":0.87,"by":1,"latitude":33.44841234,"longitude":-112.0740373,'
  .. '"moving":true,"note":"reported by the unit itself","tags":["north","gate"]},"valuesType":"reading"},'
  .. '"description":"An event of about the usual size, as sensors and people send them","title":"A step is asked for"},'
  .. '"id":"bench-'

local BEGIN = '","name":"Bench source"},"time":1790000000000,"type":"bench.begin"}'
local STEP, END = '","name":"Bench source"},"thredId":"', '","time":1790000000000,"type":"bench.step"}'

local function send(source, rest, thred, durable)
  n = n + 1
  return accept.queue(world.queue, events.doc(HEAD .. n .. '","source":{"id":"' .. source .. rest .. thred), durable)
end

-- Keeps `width` events under way until `total` are durable.
local function pump(total, width, make)
  local begun, done, over = 0, 0, runtime.channel()
  local function one(slot)
    if begun >= total then return end
    begun = begun + 1
    make(begun, slot, function(err)
      if err then error(tostring(err)) end
      done = done + 1
      if done == total then return over:put(true) end
      runtime.later(one, slot)
    end)
  end
  for slot = 1, math.min(width, total) do one(slot) end
  over:take()
end

-- The threds of each source, with what stands behind their ids in an event. Who took no part in a thred yet would join it
-- with the step: one row more than a step is.
local threds = {}

local function source_of(slot) return "source" .. (slot - 1) % SOURCES + 1 end

local function step(source, durable) send(source, STEP, threds[source][rnd(#threds[source])], durable) end

local function preload()
  for slot = 1, SOURCES do threds[source_of(slot)] = {} end
  pump(THREDS, 1024, function(_, slot, durable)
    local source = source_of(slot)
    local _, number = send(source, BEGIN, "", durable)
    world.engine:wait_for(number, function(r) table.insert(threds[source], r.threds[1] .. END) end)
  end)
  pump(OLD, 1024, function(_, slot, durable) step(source_of(slot), durable) end)
end

local function commits()
  return tonumber(metrics.text():match 'srvthreds_store_commit_seconds_count{backend="sqlite"} (%d+)')
end

-- Who reads may stop this process now, before more is measured.
---@param batch number steps a commit
local function between(what, value, batch)
  if not runs then return end
  print(json.encode { between = what, value = value, batch = batch })
  io.stdout:flush()
  runtime.sleep(200)
end

local function steps()
  local rates, cpu, all = {}, os.clock(), 0
  for run = 1, RUNS do
    local count, t0, before = 0, runtime.ticks(), commits()
    local until_ns = t0 + SECONDS * 1000000000
    local over, running = runtime.channel(), SOURCES * WINDOW
    local ready, next_event = {}, {}
    -- One task sends what a commit made room for: the driver should cost as little as it can.
    local function go_on()
      local sources = ready
      ready = {}
      local ends = runtime.ticks() > until_ns
      for i = 1, #sources do
        if not ends then step(sources[i], next_event[sources[i]]) end
      end
      if ends then running = running - #sources end
      if running == 0 then over:put(true) end
    end
    for slot = 1, SOURCES do
      local source = source_of(slot)
      next_event[source] = function()
        count = count + 1
        ready[#ready + 1] = source
        if #ready == 1 then runtime.later(go_on) end
      end
    end
    for slot = 1, SOURCES * WINDOW do step(source_of(slot), next_event[source_of(slot)]) end
    over:take()
    rates[run] = count / ((runtime.ticks() - t0) / 1e9)
    between("steps", rates[run], count / (commits() - before))
    all = all + count
  end
  print(json.encode { what = "processor time of a durable step, all threads", samples = { (os.clock() - cpu) / all * 1e6 },
    unit = "us", less = true })
  print(json.encode { what = "durable steps/s", samples = rates, unit = "1/s", pass = 20000, aim = 40000,
    notes = ("%d sources with %d events under way each, %d threds at random, %d old events; the driver runs on the loop's thread")
      :format(SOURCES, WINDOW, THREDS, OLD) })
end

local function latency()
  local p50, p99 = {}, {}
  local over = runtime.channel()
  for run = 1, RUNS do
    local times = {}
    for i = 1, 1000 do
      local t0 = runtime.ticks()
      step(source_of(i), function() over:put(true) end)
      over:take()
      times[i] = (runtime.ticks() - t0) / 1e6
    end
    table.sort(times)
    p50[run], p99[run] = times[500], times[990]
    between("one", p50[run], 1)
  end
  print(json.encode { what = "one event at a time, accepted to committed, p50", samples = p50, unit = "ms", less = true, aim = 0.4 })
  print(json.encode { what = "one event at a time, accepted to committed, p99", samples = p99, unit = "ms", less = true, pass = 5 })
end

open()
preload()
steps()
latency()
world.store:close()
for _, name in ipairs(runtime.list(world.path)) do os.remove(world.path .. "/" .. name) end
os.remove(world.path)
runtime.stop(0)
