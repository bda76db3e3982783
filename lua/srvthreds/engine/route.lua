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

-- A step under test has the id, and so the random numbers, that it would have; they cost, and few scripts ask.
local testing = { __index = function(s, key)
  if key ~= "id" and key ~= "seed" then return steps[key] end
  local id = ids.started(s.engine.key, s.pattern.id, s.source, s.event.id)
  s.id, s.seed = id, id
  return id
end }

-- Would a thred of this pattern take the event in its first reaction?
local function would_start(self, delivery, pattern)
  local s = setmetatable(steps.new {
    engine = self, number = 1, now = delivery.at, pattern = pattern, state = threds.new(pattern, delivery.at),
  }, testing)
  s:take(delivery.doc)
  return s:match(s:reaction()).outcome ~= "not_matched"
end

local function test_patterns(self, delivery, found)
  for _, pattern in ipairs(self.patterns:candidates(delivery.doc)) do
    local ok, r = pcall(would_start, self, delivery, pattern)
    if not ok then
      found.failures[#found.failures + 1] = { target = "start:" .. pattern.id, error = codes.of(r) }
    elseif r then
      found.targets[#found.targets + 1] = "start:" .. pattern.id
    end
  end
end

local function test_threds(self, delivery, found)
  for _, id in ipairs(self.offers:candidates(delivery.doc)) do
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
  for i, target in ipairs(targets) do
    local kind, arg = target:match "^(%a+):(.*)$"
    list[i] = kind == "offer" and arg or ids.started(self.key, arg, delivery.source, delivery.doc.id)
  end
  return list
end

-- Several targets: the event is settled with a message for each, so that a crash between them loses none. The source's
-- lock is held until the last of them is done.
local function several(self, delivery, found, lock)
  local list = {}
  for i, target in ipairs(found.targets) do list[i] = { topic = "engine", target = target } end
  local r = { left = #list, total = #list, told = 0, lock = lock, threds = {} }
  self.routes[delivery.event] = r
  local ok, e = pcall(self.settle, self, delivery, {
    outcome = "matched", rec = { targets = found.targets, threds = threds_of(self, delivery, found.targets),
      offered = found.offered > 0 and found.offered or nil },
    messages = list,
  })
  if ok then return true end
  if self.routes[delivery.event] == r then self.routes[delivery.event] = nil end
  error(e, 0)
end

-- Returns true if the lock is given back later.
local function run(self, delivery, lock)
  local found = { targets = {}, failures = {}, offered = 0 }
  test_patterns(self, delivery, found)
  test_threds(self, delivery, found)
  for _, f in ipairs(found.failures) do found.targets[#found.targets + 1] = f.target end
  if #found.targets == 0 then
    nothing(self, delivery, found)
    return false
  end
  if #found.targets == 1 and #found.failures == 1 then
    failure.dead(self, delivery, found.failures[1].target, found.failures[1].error)
    return false
  end
  if #found.targets == 1 then
    self:dispatch(delivery, found.targets[1])
    return false
  end
  return several(self, delivery, found, lock)
end

function route.handle(self, delivery)
  local lock = self.store:lock("source:" .. delivery.source)
  local ok, later = xpcall(run, codes.traced, self, delivery, lock)
  if not ok or not later then lock:release() end
  if not ok then error(later, 0) end -- the engine buries it
end

---One of several targets of a routed event.
function route.part(self, delivery)
  local r = self.routes[delivery.event]
  local lock = not r and self.store:lock("source:" .. delivery.source) or nil -- after a restart: each takes it again
  delivery.route = r
  local ok, e = pcall(self.dispatch, self, delivery, delivery.target)
  if lock then
    lock:release()
  else
    r.left = r.left - 1
    if r.left == 0 then
      if self.routes[delivery.event] == r then self.routes[delivery.event] = nil end
      r.lock:release()
    end
  end
  if not ok then error(e, 0) end
end

return route
