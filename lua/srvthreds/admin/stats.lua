-- SPDX-License-Identifier: MIT
-- Numbers of this process and its store.

local json = require "core.json"
local runtime = require "core.runtime"
local script = require "core.script"
local usage = require "srvthreds.admin.usage"

-- Resident memory of the process in bytes, or nil where /proc isn't.
local function resident()
  local f = io.open "/proc/self/status"
  if not f then return nil end
  local kb = f:read "a":match "VmRSS:%s*(%d+)"
  f:close()
  return kb and tonumber(kb) * 1024
end

local function sum(t)
  local n = 0
  for _, v in pairs(t) do n = n + v end
  return n
end

local function paused(admin)
  local list = {}
  for i, p in ipairs(admin.engine.pauses:list()) do
    list[i] = admin.engine.pauses:shown(p.id)
    list[i].id, list[i].kind = p.id, "pattern"
  end
  for _, p in ipairs(admin.agents and admin.agents.pauses:list() or {}) do
    p.kind = "agent"
    list[#list + 1] = p
  end
  return json.array(list)
end

local function stats(admin)
  local feed = admin.feed
  local ok, reason = admin.store:ready()
  local outcomes = {}
  for outcome, n in pairs(feed.totals) do outcomes[outcome] = n end
  return {
    now = runtime.now(), started = admin.started, uptime_s = (runtime.now() - admin.started) // 1000,
    version = admin.version,
    processed = { total = sum(outcomes), outcomes = outcomes },
    rates = { steps_per_s_10 = feed:rate(10), steps_per_s_60 = feed:rate(60) },
    store = { ready = ok, reason = not ok and tostring(reason) or nil, counts = admin.store:counts() },
    memory = { heap_bytes = script.memory().heap, script_bytes = script.memory().scripts,
      queue_bytes = admin.queue:bytes(), pressure = admin.engine.pressure and admin.engine.pressure.high or false,
      lua_bytes = math.tointeger(collectgarbage "count" * 1024 // 1), rss_bytes = resident() },
    scripts = usage.of(), paused = paused(admin),
    sessions = json.array(admin.directory:connected()), watchers = feed.count,
  }
end

return { { "GET", "/api/stats", stats } }
