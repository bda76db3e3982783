-- SPDX-License-Identifier: MIT
-- The engine: takes deliveries from the queue and due times from the store, and makes each a step.
--
--   bound event    -> bound.lua   one step of its thred
--   unbound event  -> route.lua   its targets, each a step of its own
--   internal       -> messages.lua start, offer, spawn, terminate
--   due time       -> timers.lua  expiry, end of a finished thred's keep
--   failure        -> failure.lua nothing of the step stays; dead letter and error event

local runtime = require "core.runtime"
local logs = require "core.log"
local metrics = require "core.metrics"
local addresses = require "srvthreds.engine.addresses"
local bound = require "srvthreds.engine.bound"
local builtin = require "srvthreds.engine.builtin"
local codes = require "srvthreds.engine.codes"
local events = require "srvthreds.engine.event"
local failure = require "srvthreds.engine.failure"
local messages = require "srvthreds.engine.messages"
local offers = require "srvthreds.engine.offers"
local pauses = require "srvthreds.engine.pauses"
local route = require "srvthreds.engine.route"
local sources = require "srvthreds.pattern.sources"
local steps = require "srvthreds.engine.step"
local system = require "srvthreds.engine.system"
local timers = require "srvthreds.engine.timers"

local LOOK_MS = 20

local engine = {}
engine.__index = engine

---@class EngineOptions
---@field store table
---@field queue table
---@field patterns table engine.patterns: the registry of loaded versions
---@field directory table who exists: participants, groups, roles, services
---@field push fun(participant: string, event_id: string, bytes: string)? tells sessions of a new inbox entry
---@field watch fun(kind: string, what: table)? the live feed
---@field pressure { steps_wait: boolean, wait_to_step: function }? memory: whether another step may begin
---@field records table? core.records: what dataControl asks
---@field also_failed fun()? a commit failed
---@field pauses srvthreds.PauseOptions? when a pattern is paused, and what becomes of its events

---@param options EngineOptions
function engine.new(options)
  local self = setmetatable({
    store = options.store, queue = options.queue, patterns = options.patterns, directory = options.directory,
    push = options.push or function() end, watch = options.watch, key = options.store:key(),
    log = logs.logger { module = "engine" }, script_log = logs.logger { module = "pattern" }, waiters = {}, epoch = 0,
    routes = {}, changes = {}, sources = sources, builtin = builtin,
    pressure = options.pressure, records = options.records, resolve = addresses.of_step, expire = steps.expire,
  }, engine)
  self.offers = offers.new(self)
  self.pauses = pauses.new(self, options.pauses)
  self.patterns.pauses = self.pauses
  self.handlers = {
    start = messages.start, offer = messages.offer, spawn = messages.spawn, terminate = messages.terminate,
    transition = messages.transition, ended = messages.ended, thred = bound.handle, timer = timers.retry,
    route = route.again,
  }
  self.processed = setmetatable({}, { __index = function(t, outcome)
    t[outcome] = metrics.counter("srvthreds_events_processed_total", { outcome = outcome })
    return t[outcome]
  end })
  self.latency = metrics.histogram "srvthreds_event_latency_seconds"
  return self
end

engine.commit = require "srvthreds.engine.commit"

-- Events, and all that isn't a target of one.
local function serve(self)
  self.serving = true
  self.queue:consume("engine", function(delivery) self:handle(delivery) end, events.class)
end

local function has_targets(self)
  for _, row in ipairs(self.store:queue_counts()) do
    if row.topic == route.TARGETS then return true end
  end
  return false
end

-- What was routed before a start or a failed commit comes before its sources' later events.
local function finish_routed(self)
  local epoch = self.epoch
  repeat
    runtime.sleep(LOOK_MS)
    local open, done = pcall(self.queue.empty, self.queue, route.TARGETS)
    if self.epoch ~= epoch or not open then return end
  until done
  serve(self)
end

---Starts consuming.
function engine:start()
  self.offers:load()
  self.pauses:load()
  self.store:on_durable(function(list) self:durable(list) end)
  self.store:on_failed(function(list, err) self:failed(list, err) end)
  self.store:on_due(function(id, due, killed) self:due(id, due, killed) end)
  self.queue:consume(route.TARGETS, function(delivery) self:handle(delivery) end, events.class)
  if has_targets(self) then runtime.spawn(finish_routed, self) else serve(self) end
end

function engine:due(id, due, killed) timers.due(self, id, due, killed) end

---The pattern is paused: nobody waits for what was put aside.
function engine:let_go(pattern_id) route.let_go(self, pattern_id) end

---This delivery becomes a dead letter of that target.
function engine:bury(delivery, target, err) failure.dead(self, delivery, target, err) end

---A commit failed since this began: what it saw may never have reached the disk. It comes to nothing, without a word: the
---queue delivers again what it holds.
---@param epoch integer the engine's when it began
function engine:is_lost(epoch)
  if epoch and epoch ~= self.epoch then return true end
  local open, ready = pcall(self.store.ready, self.store)
  return not (open and ready)
end

local LOST = codes.error(codes.server, "given up: what it was built on did not reach the disk; it comes again")

---Ends a delivery without a thred; not one that was given up.
function engine:settle(delivery, changes, after)
  if self:is_lost(delivery.epoch) then error(LOST, 0) end
  self.queue:settle(delivery, changes, after)
end

---One delivery, to its end. Never raises: what goes wrong becomes a dead letter.
function engine:handle(delivery)
  delivery.epoch = self.epoch
  local pressure = self.pressure
  if pressure and pressure.steps_wait then pressure:wait_to_step() end
  local ok, e = xpcall(self.begin, codes.traced, self, delivery)
  if ok then return end
  local buried, again = self:is_lost(delivery.epoch), e
  if not buried then buried, again = pcall(failure.dead, self, delivery, delivery.target, e) end
  if buried or self:is_lost(delivery.epoch) then return end
  self.log.error("a delivery can't be ended", { err = codes.of(again), event_id = delivery.id, target = delivery.target })
end

function engine:begin(delivery)
  if delivery.attempts and delivery.attempts >= failure.KILLS then return failure.killed(self, delivery) end
  self:act_on(delivery)
  if not self.watched then delivery.doc = nil end -- the rest waits until it is durable, and needs no document
end

function engine:act_on(delivery)
  local target = delivery.target
  if target and delivery.doc and route.is_part(target) then return route.part(self, delivery) end
  if target then return self:dispatch(delivery, target) end
  local thred_id = delivery.doc.thredId
  if thred_id == "SYSTEM" then return system.handle(self, delivery) end
  if thred_id then return bound.handle(self, delivery, thred_id) end
  return route.handle(self, delivery)
end

---Runs a delivery for one target.
function engine:dispatch(delivery, target)
  local kind, arg = target:match "^(%a+):(.*)$"
  local handler = self.handlers[kind]
  if not handler then
    return failure.dead(self, delivery, target, codes.error(codes.server, ("nobody handles the target %q"):format(target)))
  end
  delivery.target = target
  return handler(self, delivery, arg)
end

-- After the commit --------------------------------------------------------------------------------------------------

---What a commit is followed by once it is durable: pushes to sessions, the outcome for who waits, the live feed.
---@param delivery table|nil
---@param outcome string
---@param emitted table list of {id, body, inbox}
---@param info table|nil thred, error for who waits
function engine:after(delivery, outcome, emitted, info)
  return { delivery = delivery, outcome = outcome, emitted = emitted, info = info }
end

-- What scripts logged: written once the step is there to stay.
local function tell_lines(self, lines)
  local fields = { pattern = lines.pattern, reaction = lines.reaction, thred_id = lines.thred_id }
  for _, line in ipairs(lines[1]) do self.script_log.info(line, fields) end
end

local function tell_notes(self, notes)
  for _, note in ipairs(notes) do self.log[note.level](note.message, note.fields) end
end

local function push_all(self, emitted)
  for i = 1, #emitted do
    local e = emitted[i]
    local inbox = e.inbox
    for k = 1, inbox and #inbox or 0 do self.push(inbox[k], e.id, e.body) end
  end
end

local function tell(self, item)
  if type(item) == "function" then return item(nil) end -- who sent an event waits for its place on the disk
  if item.emitted then push_all(self, item.emitted) end
  local outcome, d = item.outcome, item.delivery
  if outcome then
    self.processed[outcome]:add()
    if d then
      if d.at then self.latency:observe((runtime.now() - d.at) / 1000) end
      if d.route or self.waiters[d.event] then self:tell_waiter(d, item) end
    end
    if self.watch then self.watch("step", item) end
  end
  if item.lines then tell_lines(self, item.lines) end
  if item.notes then tell_notes(self, item.notes) end
end

function engine:durable(list)
  local i, n = 0, #list
  local function rest()
    while i < n do
      i = i + 1
      tell(self, list[i])
    end
  end
  while i < n do
    local ok, e = pcall(rest)
    if not ok then self.log.error("after a commit", { err = tostring(e) }) end
  end
end

---A commit failed: nothing of it happened. Who asked is told; the queue delivers again what it holds.
function engine:failed(list, err)
  local waiters, routes = self.waiters, self.routes
  self.waiters, self.routes, self.epoch = {}, {}, self.epoch + 1
  for _, item in ipairs(list) do
    if type(item) == "function" then pcall(item, err) end
  end
  for _, fn in pairs(waiters) do pcall(fn, { outcome = "pending", threds = {} }) end -- its number may become another's
  for _, r in pairs(routes) do r.lock:release() end
  self.serving = false
  self.queue:consume("engine", nil)
  runtime.spawn(finish_routed, self)
  self.pauses:failed()
  if self.also_failed then self.also_failed() end
  self.offers:load()
end

---Calls fn(result) when the event numbered n has its outcome: {outcome, threds, error}.
function engine:wait_for(n, fn)
  self.waiters[n] = fn
  return function()
    if self.waiters[n] == fn then self.waiters[n] = nil end
  end
end

-- An event with several targets: matched if any matched, else error if any failed, else what the first said.
local function add_part(result, item)
  local rank = { matched = 3, error = 2 }
  if not result.outcome or (rank[item.outcome] or 1) > (rank[result.outcome] or 1) then result.outcome = item.outcome end
  local info = item.info or {}
  table.move(info.threds or {}, 1, #(info.threds or {}), #result.threds + 1, result.threds)
  result.error = result.error or info.error
end

function engine:tell_waiter(delivery, item)
  local route_of = delivery.route
  if route_of then
    add_part(route_of, item)
    route_of.told = route_of.told + 1
    if route_of.told < route_of.total then return end
  end
  local fn = self.waiters[delivery.event]
  if not fn then return end
  self.waiters[delivery.event] = nil
  local info = item.info or {}
  fn(route_of or { outcome = item.outcome, threds = info.threds or {}, error = info.error })
end

return engine
