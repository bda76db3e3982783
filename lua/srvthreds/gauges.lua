-- SPDX-License-Identifier: MIT
-- Metrics that are looked up when somebody asks: how many threds stand where, dead letters, what waits, memory.

local metrics = require "core.metrics"
local runtime = require "core.runtime"

local gauges = {}
gauges.__index = gauges

---@param options { store: table, queue: table, directory: table, patterns: table, pauses: table?, agents: table?,
---  registry: table?, pressure: table? }
---@return fun() collect to be called in a task before metrics.text
function gauges.collector(options)
  local self = setmetatable({
    store = options.store, queue = options.queue, directory = options.directory, patterns = options.patterns,
    pauses = options.pauses, agents = options.agents, registry = options.registry, pressure = options.pressure,
    shown = {}, known = {},
  }, gauges)
  return function() self:collect() end
end

-- Handles are kept: making one is a look-up.
local function gauge(self, name, labels, ...)
  local key = table.concat({ name, ... }, "\0")
  self.known[key] = self.known[key] or metrics.gauge(name, labels)
  self.now[key] = self.known[key]
  return self.known[key]
end

local function threds(self)
  local places, now = {}, runtime.now()
  for _, row in ipairs(self.store:thred_counts()) do
    local key = row.pattern .. "\0" .. row.reaction
    local place = places[key] or { pattern = row.pattern, reaction = row.reaction, count = 0, oldest = now }
    place.count = place.count + row.count
    if row.status == "active" then place.oldest = math.min(place.oldest, row.oldest or now) end
    places[key] = place
  end
  for _, p in pairs(places) do
    local labels = { pattern = p.pattern, reaction = p.reaction }
    gauge(self, "threds", labels, p.pattern, p.reaction):set(p.count)
    gauge(self, "thred_wait_age_seconds_max", labels, p.pattern, p.reaction):set((now - p.oldest) / 1000)
  end
end

local function versions(self)
  for id, pattern in pairs(self.patterns.actives) do
    gauge(self, "pattern_info", { pattern = id, version = pattern.version }, id, pattern.version):set(1)
  end
end

local function paused(self)
  if not self.pauses then return end
  local n = 0
  for _, p in ipairs(self.pauses:list()) do
    if p.state == "paused" then n = n + 1 end
    gauge(self, "pattern_events_waiting", { pattern = p.id }, p.id):set(p.waiting)
  end
  gauge(self, "patterns_paused", {}):set(n)
  if not self.agents then return end
  local list = self.agents.pauses:list()
  for _, p in ipairs(list) do gauge(self, "agent_messages_waiting", { agent = p.id }, p.id):set(p.waiting) end
  gauge(self, "agents_paused", {}):set(#list)
end

local function sessions(self)
  local n = 0
  for _, count in pairs(self.directory.sessions) do n = n + count end
  gauge(self, "sessions", {}):set(n)
  gauge(self, "session_send_queue_bytes", {}):set(self.registry and self.registry:queued() or 0)
end

local function queues(self)
  local counts, now = self.store:counts(), runtime.now()
  local oldest = counts.oldest or now
  for _, row in ipairs(self.store:queue_counts()) do oldest = math.min(oldest, row.oldest or now) end
  gauge(self, "dead_letters", {}):set(counts.dead)
  gauge(self, "queue_messages", { queue = "all" }, "all"):set(self.queue:depth())
  gauge(self, "queue_oldest_age_seconds", {}):set((now - oldest) / 1000)
end

function gauges:collect()
  self.now = {}
  threds(self)
  versions(self)
  sessions(self)
  paused(self)
  queues(self)
  if self.pressure then
    gauge(self, "heap_bytes", {}):set(self.pressure.memory().heap)
    gauge(self, "queue_bytes", {}):set(self.queue:bytes())
  end
  gauge(self, "lua_memory_bytes", {}):set(collectgarbage "count" * 1024)
  for key, g in pairs(self.shown) do
    if not self.now[key] then g:hide() end
  end
  self.shown = self.now
end

return gauges
