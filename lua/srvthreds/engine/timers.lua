-- SPDX-License-Identifier: MIT
-- Due times: a reaction expires; a finished thred has been kept long enough.

local bound = require "srvthreds.engine.bound"
local failure = require "srvthreds.engine.failure"

local timers = {}

local function run(self, handle, row, delivery)
  if row.status == "finished" then
    local over = { delivery = delivery, state = row.state, status = "terminated", ended = true, step = false }
    return handle:commit(over, self:after(nil, nil))
  end
  local s = bound.step(self, handle, row, row.due or delivery.at)
  local ok, e = pcall(s.expire, s)
  if not ok then return failure.timer(self, handle, bound.step(self, handle, row, s.now), delivery, row.state, e) end
  self:commit(s, s:changes("expired", delivery), self:after(nil, "expired", s.events))
end

---The due time of a thred has come. Late is harmless: the thred may have moved on.
function timers.due(self, id, due)
  local handle, row = self.store:begin(id)
  if not row or row.due ~= due then
    if handle then handle:abort() end
    return
  end
  local ok, e = pcall(run, self, handle, row, nil)
  if not ok then
    handle:abort()
    self.log.error("timer failed", { thred_id = id, err = tostring(e) })
  end
end

---A dead letter of a timer is tried again.
function timers.retry(self, delivery, id)
  local handle, row = self.store:begin(id)
  if not row or row.status ~= "active" then
    if handle then handle:abort() end
    return self.queue:settle(delivery, { outcome = "no_thred", rec = { thred = id } }, self:after(nil, nil))
  end
  local ok, e = pcall(run, self, handle, row, delivery)
  if not ok then
    handle:abort()
    failure.dead(self, delivery, "timer:" .. id, e)
  end
end

return timers
