-- SPDX-License-Identifier: MIT
-- One side of bench/patterns.py: so many patterns whose first conditions are declared, of which one matches each event, and
-- the whole engine on a store in memory. For each line that it reads it handles EVENTS events and prints the seconds.
--   bench_lua bench/support/patterns.lua COUNT EVENTS

local json = require "core.json"
local runtime = require "core.runtime"
local stores = require "core.store"
local accept = require "srvthreds.session.accept"
local directory = require "srvthreds.directory"
local engine = require "srvthreds.engine"
local host = require "srvthreds.engine.host"
local load = require "srvthreds.pattern.load"
local patterns = require "srvthreds.engine.patterns"

local COUNT, EVENTS = ...

-- Of three kinds: a type of its own; a type that all of the kind share, and a source; a type, and a value.
local CONDITIONS = {
  [[{ type = "bench.kind%d" }]],
  [[{ type = "bench.shared", source = "source%d" }]],
  [[{ type = "bench.valued%d", ["values.level"] = p.at_least(3) }]],
}

local function source_of(i)
  return ([[local p = require "srvthreds.pattern"
return p.pattern "Bench-%d" {
  p.reaction "begin" { p.where ]] .. CONDITIONS[i % #CONDITIONS + 1] .. [[ { transition = "$terminate" } },
}]]):format(i, i)
end

local function world(count)
  local w = { n = 0 }
  w.store, w.queue = stores.open { url = "memory:", queue = "local:" }
  local reg = patterns.new(w.store)
  for i = 1, count do
    local text = source_of(i)
    local pattern, problems = load.load(text, ("bench%d.lua"):format(i), { host = host })
    if not pattern then error(problems[1].message) end
    pattern.version = runtime.sha256(text)
    reg:use(pattern)
  end
  w.engine = engine.new { store = w.store, queue = w.queue, patterns = reg,
    directory = directory.new { participants = { source1 = { roles = {} } } } }
  w.engine:start()
  return w
end

local function event(w, round)
  w.n = w.n + 1
  local i = round % 10 + 1 -- of those that both sides have
  local source = i % 3 == 1 and "source" .. i or "source1"
  local kind = ({ "bench.kind" .. i, "bench.shared", "bench.valued" .. i })[i % 3 + 1]
  local e = { id = ("bench-%d"):format(w.n), type = kind, time = runtime.now(), data = { content = { values = { level = 5 } } } }
  return accept.prepare(e, { id = source }, runtime.now())
end

local over = runtime.channel()

-- One event after the other; each must start one thred.
local function round(w, number)
  local t0 = runtime.ticks()
  for _ = 1, tonumber(EVENTS) do
    local e = event(w, number)
    local _, n = accept.queue(w.queue, e, function() end)
    w.engine:wait_for(n, function(result) over:put(result) end)
    local result = over:take()
    if result.outcome ~= "matched" or #result.threds ~= 1 then error(e.type .. " " .. json.encode(result)) end
  end
  return (runtime.ticks() - t0) / 1e9
end

local w = world(tonumber(COUNT))
round(w, 0)
collectgarbage()
local number = 0
for _ in io.lines() do
  number = number + 1
  io.write(round(w, number), "\n")
  io.flush()
end
w.store:close()
runtime.stop(0)
