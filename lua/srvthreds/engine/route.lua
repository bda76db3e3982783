-- SPDX-License-Identifier: MIT
-- An unbound event: which patterns does it start, which threds may want it? Tested without effect; each that matches
-- becomes a target, a step of its own. The events of one source are routed, and their targets run, one after another.

local json = require "core.json"
local codes = require "srvthreds.engine.codes"
local failure = require "srvthreds.engine.failure"
local ids = require "srvthreds.engine.ids"
local messages = require "srvthreds.engine.messages"
local steps = require "srvthreds.engine.step"
local threds = require "srvthreds.engine.thred"

local route = {}

---The topic of targets. In the engine's own they would come behind later events of their source, which wait for them and
---may be as many as run at once.
route.TARGETS = "engine/targets"

-- A step under test has the id, and so the random numbers, that it would have; they cost, and few scripts ask.
local testing = { __index = function(s, key)
  if key ~= "id" and key ~= "seed" then return steps[key] end
  local id = ids.started(s.engine.key, s.pattern.id, s.source, s.event.id)
  s.id, s.seed = id, id
  return id
end }

-- Would a thred of this pattern take the event in its first reaction?
local function would_start(self, delivery, pattern)
  local state = threds.new(pattern, delivery.at)
  local s = setmetatable(steps.new(self, nil, nil, 1, delivery.at, pattern, state), testing)
  s:take(delivery.doc)
  return s:match(s:reaction()).outcome ~= "not_matched"
end

-- What is to be asked: nil, everybody; else a function of a pattern's id. Who is paused now is asked later, as a whole:
-- whoever is paused while this goes on is asked still, and its targets wait.
local function wanted(self, found)
  if found.only then return function(id) return id == found.only end end
  if not next(self.pauses.held) then return nil end
  local held = {}
  for id in pairs(self.pauses.held) do held[id] = true end
  return function(id)
    if held[id] then found.held[id] = true end
    return not held[id]
  end
end

local function test_patterns(self, delivery, found, may)
  for _, pattern in ipairs(self.patterns:candidates(delivery.doc)) do
    local ok, r = true, false
    if not may or may(pattern.id) then ok, r = pcall(would_start, self, delivery, pattern) end
    if not ok then
      found.failures[#found.failures + 1] = { target = "start:" .. pattern.id, error = codes.of(r) }
    elseif r then
      found.targets[#found.targets + 1] = "start:" .. pattern.id
    end
  end
end

local function test_threds(self, delivery, found, may)
  for _, id in ipairs(self.offers:candidates(delivery.doc, may)) do
    local ok, r = pcall(messages.would_take, self, delivery, id)
    if not ok then
      found.failures[#found.failures + 1] = { target = "offer:" .. id, error = codes.of(r) }
    elseif r then
      found.targets[#found.targets + 1] = "offer:" .. id
    else
      found.offered = found.offered + 1
    end
  end
end

local function nothing(self, delivery, found)
  self:settle(delivery, {
    outcome = "no_pattern",
    rec = { log = { { outcome = "no_pattern_match" } }, offered = found.offered > 0 and found.offered or nil },
  }, self:after(delivery, "no_pattern", nil))
end

-- The threds that these targets are, or begin.
local function threds_of(self, delivery, targets)
  local list = json.array {}
  for _, target in ipairs(targets) do
    local kind, arg = target:match "^(%a+):(.*)$"
    if kind == "offer" then
      list[#list + 1] = arg
    elseif kind == "start" then
      list[#list + 1] = ids.started(self.key, arg, delivery.source, delivery.doc.id)
    end
  end
  return list
end

-- Those that can only be asked later have no outcome yet: who waits for one doesn't wait for theirs.
local function add_targets(r, list)
  for _, m in ipairs(list) do
    r.targets[m.target] = true
    if not m.target:find "^route:" then r.total = r.total + 1 end
  end
  r.left = r.left + #list
end

-- Several targets: the event is settled with a message for each, so that a crash between them loses none. The source's
-- lock is held until the last of them is done: returns true. Those of an event that waited for a pattern which is paused
-- again meanwhile stay where they are, without the lock.
local function several(self, delivery, found, lock)
  local list, pattern = {}, self.pauses:waited_for(delivery)
  local topic = pattern and "engine/again/" .. pattern or route.TARGETS
  for i, target in ipairs(found.targets) do list[i] = { topic = topic, target = target } end
  local outer = delivery.route -- this is itself a target of that
  local r = outer or { left = 0, total = 0, told = 0, lock = lock, threds = {}, targets = {}, waited_for = pattern }
  self.routes[delivery.event] = r
  add_targets(r, list)
  local ok, e = pcall(self.settle, self, delivery, {
    outcome = r.total > 0 and "matched" or "queued",
    rec = { targets = found.targets, threds = threds_of(self, delivery, found.targets),
      offered = found.offered > 0 and found.offered or nil },
    messages = list,
  })
  local stays = ok and pattern and self.pauses:is_paused(pattern)
  if ok and not stays then return not outer end
  if outer then
    r.left = r.left - #list
  elseif self.routes[delivery.event] == r then
    self.routes[delivery.event] = nil
  end
  if not ok then error(e, 0) end
  return false
end

local function add_held(found)
  local ids_ = {}
  for id in pairs(found.held) do ids_[#ids_ + 1] = id end
  table.sort(ids_)
  for _, id in ipairs(ids_) do found.targets[#found.targets + 1] = "route:" .. id end
  return ids_
end

-- Returns true if the lock is given back later. `only`: of this pattern, the others had the event already.
local function run(self, delivery, lock, only)
  local found = { targets = {}, failures = {}, offered = 0, held = {}, only = only }
  local may = wanted(self, found)
  test_patterns(self, delivery, found, may)
  test_threds(self, delivery, found, may)
  for _, f in ipairs(found.failures) do found.targets[#found.targets + 1] = f.target end
  local held = next(found.held) and add_held(found) or nil
  if #found.targets == 0 then
    nothing(self, delivery, found)
  elseif #found.targets > 1 then
    return several(self, delivery, found, lock)
  elseif held then
    if not self.pauses:puts_off(delivery, held[1]) then return run(self, delivery, lock, nil) end -- resumed meanwhile
  elseif #found.failures == 1 then
    failure.dead(self, delivery, found.failures[1].target, found.failures[1].error)
  else
    self:dispatch(delivery, found.targets[1])
  end
  return false
end

function route.handle(self, delivery)
  local lock = self.store:lock("source:" .. delivery.source)
  local only = self.pauses:waited_for(delivery)
  if only and self.pauses:puts_off(delivery, only) then return lock:release() end
  local ok, later = xpcall(run, codes.traced, self, delivery, lock, only)
  if not ok or not later then lock:release() end
  if not ok then error(later, 0) end -- the engine buries it
end

---A pattern that was paused when the event was routed: what of it wants the event? The source's lock is held.
function route.again(self, delivery, pattern_id)
  if self.pauses:puts_off(delivery, pattern_id) then return false end
  return run(self, delivery, delivery.lock, pattern_id)
end

---Is this a target of a routed event?
function route.is_part(target)
  return target:find "^start:" or target:find "^offer:" or target:find "^route:"
end

-- One that nobody holds its source for waits for it where it is in no other's way.
local function move(self, delivery)
  self:settle(delivery, { messages = { { topic = "engine", target = delivery.target } } }, {})
end

---One of several targets of a routed event.
function route.part(self, delivery)
  local r = self.routes[delivery.event]
  if r and (not r.targets[delivery.target] or r.waited_for ~= self.pauses:waited_for(delivery)) then r = nil end
  if not r and self.serving and delivery.topic == route.TARGETS then return move(self, delivery) end
  local lock = not r and self.store:lock("source:" .. delivery.source) or nil -- after a restart: each takes it again
  delivery.route, delivery.lock = r, lock
  local ok, later = pcall(self.dispatch, self, delivery, delivery.target)
  if lock then
    if not ok or later ~= true then lock:release() end
  else
    r.left = r.left - 1
    if r.left == 0 and not r.released then
      if self.routes[delivery.event] == r then self.routes[delivery.event] = nil end
      r.lock:release()
    end
  end
  if not ok then error(later, 0) end
end

---A pattern is paused: what is left of the events that had waited for it waits again, without their sources' locks.
function route.let_go(self, pattern_id)
  for event, r in pairs(self.routes) do
    if r.waited_for == pattern_id then
      self.routes[event], r.released = nil, true
      r.lock:release()
    end
  end
end

return route
