-- SPDX-License-Identifier: MIT
-- Targets of a routed event (start, offer) and messages between threds (spawn, terminate): each is a step of its own.

local json = require "core.json"
local bound = require "srvthreds.engine.bound"
local codes = require "srvthreds.engine.codes"
local events = require "srvthreds.engine.event"
local failure = require "srvthreds.engine.failure"
local ids = require "srvthreds.engine.ids"
local steps = require "srvthreds.engine.step"
local threds = require "srvthreds.engine.thred"

local messages = {}

-- A start that maxInstances or the interval refuses, or whose thred exists.
local function refused(self, delivery, pattern, why, id, parent, list)
  self.log.info("start refused", {
    pattern = pattern.id, reason = why, event_id = delivery.doc and delivery.doc.id, thred_id = id })
  self:settle(delivery, { outcome = "refused", rec = { pattern = pattern.id, refused = why, thred = id,
    parent = parent, log = { { outcome = "refused" } } }, messages = list }, self:after(delivery, "refused", nil))
end

local function begin_new(self, id, pattern, now)
  return self.store:begin_new(id, { pattern = pattern.id, reaction = pattern.reactions[1].name, max = pattern.max_instances,
    interval = pattern.instance_interval, now = now })
end

-- Runs fn(handle) and turns whatever it raises into a dead letter of this target.
local function guarded(self, delivery, handle, fn)
  local ok, e = xpcall(fn, codes.traced, handle)
  if ok then return end
  handle:abort()
  failure.dead(self, delivery, delivery.target, e)
end

local function new_step(self, handle, id, pattern, now, state)
  local s = steps.new(self, handle, id, 1, now, pattern, state)
  s:enter(pattern.reactions[1])
  return s
end

---An unbound event starts a thred of this pattern.
function messages.start(self, delivery, pattern_id)
  local pattern = self.patterns:active(pattern_id)
  if not pattern then
    return failure.dead(self, delivery, delivery.target, codes.error(codes.not_found,
      ("pattern %s is not active any more"):format(pattern_id), { pattern = pattern_id }))
  end
  if self.pauses:puts_off(delivery, pattern_id) then return end
  local doc = delivery.doc
  local id = ids.started(self.key, pattern.id, doc.source.id, doc.id)
  local handle, why = begin_new(self, id, pattern, delivery.at)
  if not handle then return refused(self, delivery, pattern, why, id) end
  guarded(self, delivery, handle, function()
    local s = new_step(self, handle, id, pattern, delivery.at, threds.new(pattern, delivery.at))
    s:take(doc)
    local outcome = s:apply()
    if outcome == "not_matched" then -- the pattern changed between routing and now
      handle:abort()
      return self:settle(delivery, { outcome = outcome, rec = { pattern = pattern.id, log = json.array(s.trail) } },
        self:after(delivery, outcome, nil))
    end
    self:commit(s, outcome, delivery, self:after(delivery, outcome, s.events, { threds = { id } }))
  end)
end

---Would this live thred take the unbound event in its current reaction? Nothing changes.
function messages.would_take(self, delivery, id)
  local handle, row = self.store:begin(id)
  if not row then
    if handle then handle:abort() end
    return false
  end
  local ok, r = pcall(function()
    local s = bound.step(self, handle, row, delivery.at)
    s:take(delivery.doc)
    local reaction = s:reaction()
    return s.state.status == "active" and reaction.allow_unbound_events and s:match(reaction).outcome ~= "not_matched"
  end)
  handle:abort()
  if not ok then error(r, 0) end
  return r
end

-- The live thred that a delivery is for, its handle and row. None: the delivery is settled with that outcome, which is
-- one of an event's only for an offer.
local function begin_live(self, delivery, id, outcome, offered)
  local handle, row = self.store:begin(id)
  if row and row.status == "active" then return handle, row end
  if handle then handle:abort() end
  self:settle(delivery, { outcome = outcome, rec = { thred = id } },
    offered and self:after(delivery, outcome) or self:after())
end

---An unbound event for a live thred.
function messages.offer(self, delivery, id)
  local handle, row = begin_live(self, delivery, id, "not_matched", true)
  if not handle then return end
  if self.pauses:puts_off(delivery, row.pattern) then return handle:abort() end
  guarded(self, delivery, handle, function()
    local s = bound.step(self, handle, row, delivery.at)
    s:take(delivery.doc)
    local outcome = s:reaction().allow_unbound_events and s:apply() or "not_matched"
    self:commit(s, outcome, delivery, self:after(delivery, outcome, s.events, { threds = { id } }))
  end)
end

-- Is the thred that spawned it gone by now? Then it was ended with its children. Asked where the spawn comes again, or has
-- waited: otherwise what ended the parent is behind it in the queue.
local function is_orphan(self, delivery, m)
  if m.type == "sibling" or not (delivery.tries or self.pauses:waited_for(delivery)) then return false end
  local handle, row = self.store:begin(m.parent)
  local gone = not row or row.status ~= "active"
  if handle then handle:abort() end
  return gone
end

---A step of another thred spawned this one.
function messages.spawn(self, delivery, id)
  local m = delivery.message
  if self.pauses:puts_off(delivery, m.pattern) then return end
  local pattern = self.patterns:active(m.pattern)
  if not pattern then
    return failure.dead(self, delivery, delivery.target, codes.error(codes.not_found,
      ("pattern %s, to be spawned by thred %s, is not active any more"):format(m.pattern, m.parent), { pattern = m.pattern }))
  end
  local handle, why = begin_new(self, id, pattern, m.at)
  if handle and is_orphan(self, delivery, m) then -- while its lock is held: an end of the parent waits behind it
    handle:abort()
    return refused(self, delivery, pattern, "parent", id, m.parent)
  end
  if not handle then
    local gone = m.type ~= "sibling" and why ~= "exists"
    return refused(self, delivery, pattern, why, id, m.parent,
      gone and { { topic = "engine", target = "ended:" .. m.parent, body = { child = id } } } or nil)
  end
  guarded(self, delivery, handle, function()
    local state = threds.new(pattern, m.at)
    if m.type ~= "sibling" then state.parent = m.parent end
    if m.locals then state.locals = json.copy(m.locals) end
    if m.participants then state.participants = json.copy(m.participants) end
    local s = new_step(self, handle, id, pattern, m.at, state)
    s.joined, s.input = json.copy(state.participants), { kind = "spawn", by = m.parent }
    local outcome = "matched"
    if m.event then
      s:take(events.doc(json.encode(m.event)))
      outcome = s:apply()
    else
      s:write_log("matched", nil, s.state.reaction)
    end
    self:commit(s, outcome, delivery, self:after(nil, nil, s.events))
  end)
end

---The parent ended, or somebody asked: this thred ends, whatever it waits for.
function messages.terminate(self, delivery, id)
  local handle, row = begin_live(self, delivery, id, "no_thred")
  if not handle then return end
  guarded(self, delivery, handle, function()
    local s = bound.step(self, handle, row, delivery.message and delivery.message.at or delivery.at)
    s.input = { kind = "terminate", at = s.now, by = delivery.message and delivery.message.by }
    s:write_log("matched", s.state.reaction, "$terminate")
    s:finish(delivery.message and delivery.message.by)
    self:commit(s, "matched", delivery, self:after(nil, nil, s.events))
  end)
end

---A child of this thred ended, or never began: it need not be told any more. No step: nothing that a pattern sees changes.
function messages.ended(self, delivery, id)
  local handle, row = self.store:begin(id)
  if not row or row.status ~= "active" then
    if handle then handle:abort() end
    return self:settle(delivery, {})
  end
  guarded(self, delivery, handle, function()
    local state, left = threds.decode(row), json.array {}
    for _, child in ipairs(state.children) do
      if child ~= delivery.message.child then left[#left + 1] = child end
    end
    state.children = left
    handle:commit({ delivery = delivery, state = threds.encode(state), due = row.due, step = false })
  end)
end

---Somebody moves the thred to a reaction by hand.
function messages.transition(self, delivery, id)
  local handle, row = begin_live(self, delivery, id, "no_thred")
  if not handle then return end
  guarded(self, delivery, handle, function()
    local m = delivery.message
    local s = bound.step(self, handle, row, m.at)
    local from = s.state.reaction
    s.input = { kind = "transition", at = m.at, to = m.to }
    local _, to = s:transition { name = m.to, input = "default" }
    s:write_log("matched", from, to)
    self:commit(s, "matched", delivery, self:after(nil, nil, s.events))
  end)
end

return messages
