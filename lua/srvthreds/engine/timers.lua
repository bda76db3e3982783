-- SPDX-License-Identifier: MIT
-- Due times: a reaction expires; a finished thred has been kept long enough.

local bound = require "srvthreds.engine.bound"
local codes = require "srvthreds.engine.codes"
local failure = require "srvthreds.engine.failure"
local threds = require "srvthreds.engine.thred"

local timers = {}

-- On the active version of its pattern the reaction expires later, or never: it waits on, and moves over at its next step.
local function wait_on(self, handle, row, due)
  handle:commit({ state = row.state, due = due, step = false, rec = { input = { kind = "wait", due = due } } },
    self:after(nil, nil))
end

local function expire(self, handle, row, delivery, tried)
  local s = bound.step(self, handle, row, row.due or delivery.at)
  tried.step = s
  if delivery then s.input = { kind = "timer", at = s.now } end
  if row.due and (not s.due or s.due > row.due) then return nil, s.due end
  s:expire()
  return s, s:changes("expired", delivery)
end

local function as_it_was(self, row, at)
  return { engine = self, id = row.id, number = row.step + 1, now = row.due or at, state = threds.decode(row) }
end

local function run(self, handle, row, delivery)
  if row.status == "finished" then
    local over = { delivery = delivery, state = row.state, status = "terminated", ended = true, step = false }
    return handle:commit(over, self:after(nil, nil))
  end
  local tried = {}
  local ok, s, rest = xpcall(expire, codes.traced, self, handle, row, delivery, tried)
  if not ok then
    return failure.timer(self, handle, as_it_was(self, row, delivery and delivery.at), delivery, row.state, s, tried.step)
  end
  if not s then return wait_on(self, handle, row, rest) end
  self:commit(s, "expired", delivery, self:after(nil, "expired", s.events), rest)
end

-- It ended the process again and again: given up without being run.
local function give_up(self, handle, row, killed)
  local step = as_it_was(self, row)
  step.attempts = killed.attempts
  failure.timer(self, handle, step, nil, row.state,
    failure.end_of_process(killed.attempts, killed.ran, self.patterns, "its time was over"))
end

---The due time of a thred has come. Late is harmless: the thred may have moved on.
---@param killed table? it ended the process: {key, attempts, ran}, as store:on_due says
function timers.due(self, id, due, killed)
  local epoch = self.epoch
  local ok, e = pcall(function()
    local handle, row = self.store:begin(id)
    if not row or row.due ~= due then
      if handle then handle:abort() end
      return
    end
    if row.status == "active" and self.pauses:holds_timer(row.pattern, id, due) then return handle:put_off() end
    local done, err
    if killed and killed.attempts >= failure.KILLS and row.status == "active" then
      done, err = pcall(give_up, self, handle, row, killed)
    else
      done, err = pcall(run, self, handle, row, nil)
    end
    if killed then self.store:timer_over(killed.key) end
    if done then return end
    handle:abort()
    error(err, 0)
  end)
  if ok or self:is_lost(epoch) then return end
  self.log.error("timer failed", { thred_id = id, err = e })
end

-- Its reaction's timer failed and was not tried again; if the thred has moved on, there is nothing to try.
local function is_stuck(self, row)
  if not row or row.status ~= "active" or row.due then return false end
  local pattern = self.patterns:version(row.pattern, row.version)
  local i = pattern and pattern.by_name[row.reaction]
  return i ~= nil and pattern.reactions[i].expiry ~= nil
end

---A dead letter of a timer is tried again.
function timers.retry(self, delivery, id)
  local handle, row = self.store:begin(id)
  if not is_stuck(self, row) then
    local outcome = row and row.status == "active" and "not_matched" or "no_thred"
    if handle then handle:abort() end
    return self:settle(delivery, { outcome = outcome, rec = { thred = id } }, self:after(nil, nil))
  end
  if self.pauses:puts_off(delivery, row.pattern) then return handle:abort() end
  local ok, e = pcall(run, self, handle, row, delivery)
  if not ok then
    handle:abort()
    failure.dead(self, delivery, "timer:" .. id, e)
  end
end

return timers
