-- SPDX-License-Identifier: MIT
-- Patterns that are paused: by a command, or by themselves, when their scripts go over their budget again and again. While a
-- pattern is paused none of its scripts runs; what is for it waits, durably and in order, and is counted.
--
--   engine/wait/ID   topic of what waits: an event (bound, or unbound and wanted by nobody else), or one target of an event
--                    ("route:ID": not asked yet, "start:…", "offer:…", "spawn:…")
--   engine/again/ID  targets of an event that has waited: they come before everything that still waits
--
--   running --pause--> paused --resume--> resuming --the last that waited is done--> running
--
-- While it resumes, what waits is handled in order and what is new goes behind it, so that nothing overtakes. A delivery of
-- these topics that finds its pattern paused again goes back to its place. Due times wait in memory: the store has them.

local json = require "core.json"
local events = require "srvthreds.engine.event"
local logs = require "core.log"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local overruns = require "srvthreds.engine.overruns"

local META = "patterns.paused" -- meta: pattern id -> { since, reason, by, version }
local LOOK_MS, RETRY_MS, TIMERS_AT_ONCE = 20, 1000, 256
local DEFAULTS = { after = 5, within = 60000, events = "wait", waiting = 100000 }

local pauses = {}
pauses.__index = pauses

---@class srvthreds.PauseOptions
---@field after integer? so many steps over their budget …
---@field within integer? … in so many ms pause their pattern; after = 0: never
---@field events "wait"|"dead"? what becomes of a paused pattern's events
---@field waiting integer? of one pattern; what is more becomes a dead letter

---@param engine table
---@param options srvthreds.PauseOptions?
function pauses.new(engine, options)
  local self = setmetatable({
    engine = engine, store = engine.store, queue = engine.queue, options = options or {}, held = {},
    log = logs.logger { module = "engine" },
  }, pauses)
  for key, value in pairs(DEFAULTS) do
    if self.options[key] == nil then self.options[key] = value end
  end
  self.overruns = overruns.new(self.options)
  return self
end

---@class srvthreds.Pause
---@field id string
---@field state "paused"|"resuming"
---@field since integer
---@field reason string
---@field by string? who paused it; nil: it did it to itself
---@field version string? the version that was active then
---@field waiting integer

-- An edit ends only the pause that a pattern has put on itself.
local function what_to_do(id, by)
  return ("%s`srvthreds patterns resume %s`"):format(by and "" or "mend it and save its file, or ", id)
end

local function new_pause(id, state, facts)
  return {
    id = id, state = state, since = facts.since, reason = facts.reason, by = facts.by, version = facts.version,
    topic = "engine/wait/" .. id, again = "engine/again/" .. id, waiting = 0, timers = {},
  }
end

-- In the store ------------------------------------------------------------------------------------------------------

local function save(self)
  local facts = {}
  for id, p in pairs(self.held) do
    if p.state == "paused" then facts[id] = { since = p.since, reason = p.reason, by = p.by, version = p.version } end
  end
  self.store:meta(META, json.encode(facts))
end

-- How many wait, as the store has it.
local function count(self)
  local waiting = {}
  for _, row in ipairs(self.store:queue_counts()) do
    local id = row.topic:match "^engine/%a+/(.*)$"
    if id then waiting[id] = (waiting[id] or 0) + row.count end
  end
  return waiting
end

-- A commit failed: what was said last may be lost, and what was counted.
local function save_again(self)
  while not pcall(function()
    save(self)
    local waiting = count(self)
    for id, p in pairs(self.held) do p.waiting = waiting[id] or 0 end
  end) do runtime.sleep(RETRY_MS) end
end

local function save_soon(self)
  if not pcall(save, self) then runtime.spawn(save_again, self) end
end

function pauses:failed()
  if next(self.held) then runtime.spawn(save_again, self) end
end

---What was paused before this start, and what still waited. In a task, before anything is consumed.
function pauses:load()
  local bytes, waiting = self.store:meta(META), count(self)
  for id, facts in pairs(bytes and json.decode(bytes) or {}) do self.held[id] = new_pause(id, "paused", facts) end
  for id in pairs(waiting) do
    self.held[id] = self.held[id] or new_pause(id, "resuming", { since = runtime.now(), reason = "what waited is handled first" })
  end
  for id, p in pairs(self.held) do
    p.waiting = waiting[id] or 0
    local active = self.engine.patterns.actives[id]
    if p.state == "resuming" or active and self:is_edit(p, active) then self:begin_resuming(p) end
  end
end

-- What is for a paused pattern --------------------------------------------------------------------------------------

local function error_of(p, more)
  return codes.error(codes.server, ("pattern %s is paused: %s%s; `srvthreds patterns resume %s` when it is mended")
    :format(p.id, p.reason, more or "", p.id), { pattern = p.id, version = p.version, quiet = true })
end

-- The target that its dead letter names: what is tried again then.
local function target_of(delivery, p)
  if delivery.target then return delivery.target end
  local thred = delivery.doc and delivery.doc.thredId
  return thred and "thred:" .. thred or "route:" .. p.id
end

local function put_aside(self, delivery, p)
  local whole = delivery.n == delivery.event -- the event itself: its record says that it waits
  p.waiting = p.waiting + 1
  self.engine:settle(delivery, {
    outcome = whole and "queued" or nil, rec = whole and { waits = p.id } or nil,
    messages = { {
      topic = p.topic, target = not whole and delivery.target or nil,
      body = delivery.message and json.bytes(delivery.message) or nil,
    } },
  }, {})
end

---Is this delivery, which is for the pattern, not to be handled now? Then it has been put where it waits.
---@return boolean
function pauses:puts_off(delivery, id)
  local p = self.held[id]
  if not p then return false end
  if delivery.topic == p.topic or delivery.topic == p.again then
    if p.state == "resuming" then return false end
    delivery.given_back = true
    self.queue:back(delivery)
  elseif self.options.events == "dead" then
    self.engine:bury(delivery, target_of(delivery, p), error_of(p))
  elseif p.waiting >= self.options.waiting then
    self.engine:bury(delivery, target_of(delivery, p), error_of(p, (" and %d events wait already"):format(p.waiting)))
  else
    put_aside(self, delivery, p)
  end
  return true
end

---The pattern that this delivery has waited for.
---@return string? id
function pauses:waited_for(delivery)
  local topic = delivery.topic
  return topic ~= "engine" and topic:match "^engine/%a+/(.*)$" or nil
end

---A due time of the pattern's thred has come: it waits. Once more when everything that waited is done.
---@return boolean
function pauses:holds_timer(id, thred_id, due)
  local p = self.held[id]
  if not p then return false end
  p.timers[thred_id] = due
  return true
end

---May the pattern's scripts run? What waited may meanwhile, what is new may not.
function pauses:is_paused(id)
  local p = self.held[id]
  return p ~= nil and p.state == "paused"
end

-- Pausing -----------------------------------------------------------------------------------------------------------

local function stop_consuming(self, p)
  self.queue:consume(p.topic, nil)
  self.queue:consume(p.again, nil)
end

---@param id string
---@param facts { reason: string, by: string?, version: string? }
---@return boolean changed
function pauses:pause(id, facts)
  local p = self.held[id]
  if p and p.state == "paused" then return false end
  facts.since = runtime.now()
  if p then
    p.state, p.since, p.reason, p.by, p.version = "paused", facts.since, facts.reason, facts.by, facts.version
    stop_consuming(self, p)
    self.engine:let_go(id)
  else
    self.held[id] = new_pause(id, "paused", facts)
  end
  self.overruns:forget(id)
  save_soon(self)
  self.log.warn(("pattern paused: %s; its events %s: %s"):format(facts.reason,
    self.options.events == "dead" and "become dead letters" or "wait", what_to_do(id, facts.by)),
    { pattern = id, version = facts.version })
  return true
end

---A step failed. Enough of those that went over their budget pause their pattern.
---@param err table
function pauses:note(err)
  local id = err.pattern
  local reason = id and self.overruns:note(id, err)
  if not reason or self:is_paused(id) then return end
  local active = self.engine.patterns.actives[id]
  self:pause(id, { reason = reason, version = active and active.version or err.version })
end

-- Resuming ----------------------------------------------------------------------------------------------------------

local function fire_timers(self, p)
  local list = {}
  for thred_id, due in pairs(p.timers) do list[#list + 1] = { thred_id, due } end
  table.sort(list, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
  for i, timer in ipairs(list) do
    self.engine:due(timer[1], timer[2])
    if i % TIMERS_AT_ONCE == 0 then runtime.sleep(1) end
  end
end

-- Nothing is consumed any more, for this turn: it is paused again, or done, or the store is closed.
local function is_over(self, p, turn)
  return p.turn ~= turn or self.held[p.id] ~= p or p.state ~= "resuming" or not pcall(self.store.ready, self.store)
end

-- Until it is on disk that nothing waits, that may be undone: then all of it waits again.
local function unless_undone(self, p)
  self.queue:settle({}, {}, function(err)
    if not err or self.held[p.id] then return end
    self.held[p.id] = p
    self:begin_resuming(p)
  end)
end

-- Nothing waits any more: from now on what comes goes its usual way.
local function end_if_done(self, p)
  if is_over(self, p, p.turn) then return true end
  if not p.consuming or not self.queue:empty(p.again) or not self.queue:empty(p.topic) then return false end
  stop_consuming(self, p)
  self.held[p.id] = nil
  unless_undone(self, p)
  self.log.info("pattern resumed: nothing of it waits any more", { pattern = p.id })
  runtime.spawn(fire_timers, self, p)
  return true
end

local function handle(self, p, delivery)
  self.engine:handle(delivery)
  if delivery.given_back then return end
  p.waiting = math.max(0, p.waiting - 1)
  end_if_done(self, p)
end

-- First what belongs to events that were begun, then the rest.
local function consume(self, p, turn)
  local function on_delivery(delivery) handle(self, p, delivery) end
  self.queue:consume(p.again, on_delivery, events.class)
  repeat runtime.sleep(LOOK_MS) until is_over(self, p, turn) or self.queue:empty(p.again)
  if is_over(self, p, turn) then return end
  p.consuming = true
  self.queue:consume(p.topic, on_delivery, events.class)
  repeat runtime.sleep(LOOK_MS) until is_over(self, p, turn) or end_if_done(self, p)
end

function pauses:begin_resuming(p)
  p.state, p.consuming, p.turn = "resuming", false, (p.turn or 0) + 1
  runtime.spawn(consume, self, p, p.turn)
end

---@param id string
---@param why string for the log
---@return boolean changed
function pauses:resume(id, why)
  local p = self.held[id]
  if not p or p.state ~= "paused" then return false end
  self:begin_resuming(p)
  save_soon(self)
  self.log.info(("pattern resumes: %s; %d events waited"):format(why, p.waiting), { pattern = id })
  return true
end

---An edit is what a pattern that paused itself waits for. Who paused it by hand resumes it by hand.
function pauses:is_edit(p, pattern)
  return p.state == "paused" and not p.by and p.version ~= pattern.version
end

---This version of a pattern has become the active one.
function pauses:used(pattern)
  local p = self.held[pattern.id]
  if p and self:is_edit(p, pattern) then self:resume(pattern.id, "it has a new version") end
end

-- Looking -----------------------------------------------------------------------------------------------------------

---@return srvthreds.Pause[] in order of their ids
function pauses:list()
  local list = {}
  for _, p in pairs(self.held) do list[#list + 1] = p end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

---@return table? as the admin API shows it
function pauses:shown(id)
  local p = self.held[id]
  if not p then return nil end
  return { state = p.state, since = p.since, reason = p.reason, by = p.by, version = p.version, waiting = p.waiting }
end

---For /health/ready, doctor and people: what is paused, and what to do.
---@return string?
function pauses:summary()
  local parts = {}
  for _, p in ipairs(self:list()) do
    local what = p.state == "paused" and ("is paused (%s)"):format(p.reason) or "resumes"
    local next_step = p.state == "paused" and ": " .. what_to_do(p.id, p.by) or ""
    parts[#parts + 1] = ("pattern %s %s, %d events wait%s"):format(p.id, what, p.waiting, next_step)
  end
  return parts[1] and table.concat(parts, "; ") or nil
end

return pauses
