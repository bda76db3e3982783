-- SPDX-License-Identifier: MIT
-- A bound event: one step of its thred.

local json = require "core.json"
local codes = require "srvthreds.engine.codes"
local failure = require "srvthreds.engine.failure"
local steps = require "srvthreds.engine.step"
local threds = require "srvthreds.engine.thred"

local bound = {}

local EXPIRIES = 10000 -- in one step

---The step that begins with this stored thred; moves it to the active version of its pattern where that is possible.
function bound.step(self, handle, row, now)
  local state = threds.decode(row)
  local pattern = self.patterns:version(state.pattern, state.version)
  local s = steps.new(self, handle, state.id, state.step + 1, now, pattern, state, state.due)
  if not s.pattern then
    error(codes.error(codes.server, ("thred %s runs pattern %s version %s, which can't be loaded any more")
      :format(s.id, state.pattern, state.version), { pattern = state.pattern, version = state.version }), 0)
  end
  self.patterns:upgrade(s)
  return s
end

local function is_service_error(self, s)
  if not self.directory:service(s.source) then return false end
  local content = s.event.content
  return json.kind(content) == "object" and content.error ~= nil and content.error ~= json.null
end

local function apply(self, s, delivery)
  if s.event.type == "org.wt.client.broadcast" then
    self.builtin.broadcast(s)
    return "relayed"
  end
  if is_service_error(self, s) then return failure.of_service(self, s, delivery) end
  return s:apply()
end

-- Finished threds relay broadcasts while they are kept, also if what ends them comes late; nothing else reaches them.
---@param of table|userdata what has the thred's `due`: its row, or the step
local function takes(status, of, delivery)
  if status ~= "finished" or delivery.doc.type ~= "org.wt.client.broadcast" then return status == "active" end
  local due = of.due
  return due ~= nil and due >= delivery.at
end

-- One that fails leaves the thred where it was, and the event still comes to its turn.
local function expire(self, s)
  local before = s:mark()
  local ok, e = xpcall(self.expire, codes.traced, s)
  return ok and s or failure.overdue(self, s, before, e)
end

-- The reactions that had expired before this moment, one after another.
local function catch_up(self, s, at)
  for _ = 1, EXPIRIES do
    if not s.due or s.due >= at or s.state.status ~= "active" then
      s.now = at
      return s
    end
    s.now = s.due
    s = expire(self, s)
  end
  s:fail("expiry", ("more than %d expiries before one event: is an expiry too short?"):format(EXPIRIES))
end

---Everything of the step up to its commit; raises when it fails.
local function run(self, handle, row, delivery)
  local s = catch_up(self, bound.step(self, handle, row, delivery.at), delivery.at)
  s:take(delivery.doc, delivery.source)
  if not takes(s.state.status, s, delivery) then
    s:write_log("no_thred", s.state.reaction, s.state.reaction)
    self.offers:moved(s)
    return failure.no_thred(self, delivery, s.id, s)
  end
  local outcome = apply(self, s, delivery)
  if s.state.status == "finished" then s.due = s.now + s.pattern.finished_keep end
  local info = (delivery.route or self.waiters[delivery.event]) and { threds = { s.id } } or nil
  delivery.delivery, delivery.outcome, delivery.emitted, delivery.info = delivery, outcome, s.events, info -- is its own `after`
  self:commit(s, outcome, delivery, delivery)
end

function bound.handle(self, delivery, thred_id)
  local handle, row = self.store:begin(thred_id)
  if not row or not takes(row.status, row, delivery) then
    if handle then handle:abort() end
    return failure.no_thred(self, delivery, thred_id)
  end
  if self.pauses:puts_off(delivery, row.pattern) then return handle:abort() end
  local ok, e = xpcall(run, codes.traced, self, handle, row, delivery)
  if not ok then
    handle:abort()
    failure.dead(self, delivery, "thred:" .. thred_id, e)
  end
end

return bound
