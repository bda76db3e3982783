-- SPDX-License-Identifier: MIT
-- The task `run`: a script that does one update, against the same update as a task, durable, on SQLite; in turns.
--   bench_lua bench/run.lua [FOLDER [RUNS]]

local docdb = require "core.docdb"
local json = require "core.json"
local runtime = require "core.runtime"
local scripts = require "srvthreds.agent.scripts"

local folder, runs = ...
local RUNS, SECONDS, DOCUMENTS = math.tointeger(runs) or 5, 1, 1000
local path = (folder or "build") .. "/bench-run.db"
local db = docdb.open { hosts = { { name = "main", url = "sqlite:" .. path } }, databases = { "bench" } }

local all = scripts.new { docdb = db }
assert(all:reload("scripts/update.lua", [[
  return function(db, args) return db:update { matcher = { id = args.id }, values = { ["$inc"] = { n = 1 } } } end]]))

local documents = {}
for i = 1, DOCUMENTS do documents[i] = { id = "d" .. i, n = 0 } end
assert(not select(2, db:run { { op = "put", params = { type = "counters", values = documents } } }))

local function update(i)
  return { op = "update", params = { type = "counters", matcher = { id = "d" .. i }, values = { ["$inc"] = { n = 1 } } } }
end

local function run(i) return { op = "run", params = { type = "counters", values = { script = "update", args = { id = "d" .. i } } } } end

-- `window` at a time for a second: how many a second.
local function rate(task, window)
  local over, running, count, begun = runtime.channel(), window, 0, runtime.ticks()
  for w = 1, window do
    runtime.spawn(function()
      for i = w, math.maxinteger do
        if runtime.ticks() - begun > SECONDS * 1e9 then break end
        local _, e = db:run { task(i % DOCUMENTS + 1) }
        if e then error(e) end
        count = count + 1
      end
      running = running - 1
      if running == 0 then over:put(true) end
    end)
  end
  over:take()
  return count / ((runtime.ticks() - begun) / 1e9)
end

local samples = { {}, {}, {}, {} }
for r = 1, RUNS do
  samples[1][r], samples[2][r] = rate(run, 1), rate(update, 1)
  samples[3][r], samples[4][r] = rate(run, 64), rate(update, 64)
end
for i, what in ipairs {
  "scripts with one update, one at a time", "the same update as a task, one at a time",
  "scripts with one update, 64 under way", "the same update as a task, 64 under way",
} do
  print(json.encode { what = what, samples = samples[i], unit = "1/s",
    notes = i % 2 == 1 and "SQLite, durable; each script has a commit of its own" or "SQLite, durable, group commit" })
end
db:close()
for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(path .. ending) end
runtime.stop(0)
