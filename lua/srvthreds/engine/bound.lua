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
  local s = steps.new {
    engine = self, handle = handle, id = row.id, number = row.step + 1, now = now, state = state, due = row.due,
    pattern = self.patterns:version(state.pattern, state.version),
  }
  if not s.pattern then
    error(codes.error(codes.server, ("thred %s runs pattern %s version %s, which can't be loaded any more")
      :format(row.id, state.pattern, state.version), { pattern = state.pattern, version = state.version }), 0)
  end
  self.patterns:upgrade(s)
  return s
end

local function is_service_error(self, s)
  local content = s.event.content
  return json.kind(content) == "object" and content.error ~= nil and content.error ~= json.null and self.directory:service(s.source) ~= nil
end

local function apply(self, s, delivery)
  if s.event.type == "org.wt.client.broadcast" then
    self.builtin.broadcast(s)
    return "relayed"
  end
  if is_service_error(self, s) then return failure.of_service(self, s, delivery) end
  return s:apply()
end

-- Finished threds relay broadcasts; nothing else reaches them.
local function takes(row, doc)
  return row and (row.status == "active" or row.status == "finished" and doc.type == "org.wt.client.broadcast")
end

-- The reactions that had expired before this moment, one after another.
local function catch_up(s, at)
  for _ = 1, EXPIRIES do
    if not s.due or s.due >= at or s.state.status ~= "active" then
      s.now = at
      return
    end
    s.now = s.due
    s:expire()
  end
  s:fail("expiry", ("more than %d expiries before one event: is an expiry too short?"):format(EXPIRIES))
end

---Everything of the step up to its commit; raises when it fails.
local function run(self, handle, row, delivery)
  local s = bound.step(self, handle, row, delivery.at)
  catch_up(s, delivery.at)
  s:take(delivery.doc, delivery.source)
  if not takes({ status = s.state.status }, delivery.doc) then
    s:write_log("no_thred", s.state.reaction, s.state.reaction)
    self.offers:moved(s)
    return failure.no_thred(self, delivery, s.id, handle, s:changes("no_thred", delivery))
  end
  local outcome = apply(self, s, delivery)
  if s.state.status == "finished" then s.due = s.now + s.pattern.finished_keep end
  local info = (delivery.route or self.waiters[delivery.event]) and { threds = { s.id } } or nil
  self:commit(s, s:changes(outcome, delivery), self:after(delivery, outcome, s.events, info))
end

function bound.handle(self, delivery, thred_id)
  local handle, row = self.store:begin(thred_id)
  if not takes(row, delivery.doc) then
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
