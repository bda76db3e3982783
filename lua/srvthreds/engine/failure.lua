-- SPDX-License-Identifier: MIT
-- What went wrong: the step has left no trace, the event is kept with its error, the sender is told (model §4, Failure).

local json = require "core.json"
local budget = require "srvthreds.engine.budget"
local codes = require "srvthreds.engine.codes"
local events = require "srvthreds.engine.event"
local ids = require "srvthreds.engine.ids"

local failure = {}

failure.KILLS = 3 -- so often may something end the process before it is given up

-- The error as it is stored and shown; a traceback is a developer's and goes to the log only.
---@return table
local function stored(err)
  return { code = err.code, message = err.message, pattern = err.pattern, reaction = err.reaction, version = err.version,
    file = err.file, line = err.line, kind = err.kind }
end

failure.stored = stored

---@param step table? it goes on: it is told if that is there to stay
local function report(self, delivery, err, target, step)
  self.pauses:note(err)
  if err.quiet then return end -- said once, not with each event
  local level, message, fields = err.authors and "warn" or "error", err.authors and "pattern failed" or "step failed", {
    pattern = err.pattern, reaction = err.reaction, version = err.version, err_code = err.code, err = err.message,
    event_id = delivery.doc and delivery.doc.id, event_type = delivery.doc and delivery.doc.type, target = target,
    trace = err.trace,
  }
  if step then return step:note(level, message, fields) end
  self.log[level](message, fields)
end

---The error event for one person, or for a thred's people.
local function error_event(self, doc, target, thred_id, at, err, people)
  local e = events.failure(ids.failure(self.key, doc and doc.source.id or "", doc and doc.id or "", target),
    at, doc and doc.id or nil, thred_id, err)
  if not doc then e.data.title = "Failure: " .. err.message end -- a timer: no event is to blame
  return { id = e.id, body = json.encode(e), rec = { people = people }, inbox = people }
end

-- Services are never told.
local function sender(self, doc)
  local id = doc.source and doc.source.id
  if id and self.directory:is_participant(id) and not self.directory:service(id) then return { id } end
  return {}
end

-- How often this was tried: by somebody's retries before, and as often as it ended the process.
---@param now integer 1 if it was tried just now
local function attempts(delivery, now)
  return (delivery and delivery.tries or 0) + (delivery and delivery.attempts or 0) + now
end

---The event of `delivery` failed for `target`: dead letter, and the sender is told.
---@param tried integer? 0: it was not tried now
function failure.dead(self, delivery, target, raised, tried)
  if self:is_lost(delivery.epoch) then return end
  local err = codes.of(raised)
  report(self, delivery, err, target)
  local doc = delivery.doc
  local list = {}
  if doc then
    local to = sender(self, doc)
    if #to > 0 then list[1] = error_event(self, doc, target, doc.thredId, delivery.at, err, to) end
  end
  self:settle(delivery, {
    outcome = "error", rec = { error = stored(err) }, events = list,
    dead = { target = target, pattern = err.pattern, reaction = err.reaction, version = err.version, error = stored(err),
      attempts = attempts(delivery, tried or 1) },
  }, self:after(delivery, "error", list, { error = { code = err.code, message = err.message } }))
end

---No thred takes this event: it is recorded, and the sender gets 5203.
---@param step table? an expiry ended the thred before the event came to it: the rest of the step is committed
function failure.no_thred(self, delivery, thred_id, step)
  local doc = delivery.doc
  local err = { code = codes.no_thred, message = ("there is no thred %s"):format(thred_id) }
  local list = step and step.events or {}
  local to = sender(self, doc)
  if #to > 0 then list[#list + 1] = error_event(self, doc, "thred:" .. thred_id, thred_id, delivery.at, err, to) end
  local after = self:after(delivery, "no_thred", list, { error = err })
  if step then
    after.notes = step.notes
    return step.handle:commit(step:changes("no_thred", delivery), after)
  end
  self:settle(delivery, { outcome = "no_thred", rec = { error = err, log = { { outcome = "no_thred" } } }, events = list }, after)
end

---A service reports that it failed: recorded, and the thred's people are told.
function failure.of_service(self, step, delivery)
  local e = step.event.content.error
  if json.kind(e) ~= "object" then e = { message = type(e) == "string" and e or nil } end
  local err = {
    code = math.type(e.code) == "integer" and e.code or codes.task, cause = type(e.cause) == "string" and e.cause or nil,
    message = type(e.message) == "string" and e.message or ("the service %s failed"):format(step.source),
  }
  local to = self.resolve(step, "$thred", "failure")
  if #to.people > 0 then
    step.events[#step.events + 1] = error_event(self, step.event, "thred:" .. step.id, step.id, step.now, err, to.people)
  end
  step:write_log("error", step.state.reaction, step.state.reaction)
  return "error"
end

-- The records of what a step that failed had sent, were it committed; nil if nothing.
local function sent(step, after)
  local list = {}
  for i = after + 1, #step.events do
    local e = step.events[i]
    local rec = type(e.rec) == "string" and json.decode(e.rec) or e.rec
    list[#list + 1] = { id = e.id, type = json.decode(e.body).type, to = rec.to, people = rec.people, services = rec.services,
      unknown = rec.unknown }
  end
  return list[1] and list or nil
end

---An error without a sender (a timer): the thred's people are told; the due time is not tried again.
---@param tried table? the step that failed: what it had asked and sent tells how to come to the same failure again
function failure.timer(self, handle, step, delivery, state_bytes, raised, tried)
  local err = codes.of(raised)
  report(self, delivery or {}, err, "timer:" .. step.id)
  local to = self.resolve(step, "$thred", "failure")
  local list = {}
  if #to.people > 0 then
    list[1] = error_event(self, nil, "timer:" .. step.id .. ":" .. step.number, step.id, step.now, err, to.people)
  end
  handle:commit({
    delivery = delivery, outcome = "error", rec = { error = stored(err), log = { { outcome = "error" } },
      input = delivery and { kind = "timer", at = step.now } or nil, reads = tried and tried.reads,
      tried = tried and sent(tried, 0) }, events = list,
    state = state_bytes, due = nil,
    dead = { target = "timer:" .. step.id, pattern = err.pattern, reaction = err.reaction, version = err.version,
      error = stored(err), attempts = step.attempts or attempts(delivery, 1) },
  }, self:after(delivery, "error", list, { error = err }))
end

---An expiry that an event found overdue fails: as the timer's would, but within the event's step, which goes on.
---@param before table the step's mark before it
---@return table the step that goes on
function failure.overdue(self, step, before, raised)
  local err = codes.of(raised)
  local tried, reads = sent(step, before.lengths.events), step.reads
  step = step:back(before)
  step.due, step.overdue = nil, stored(err)
  if not budget.of_machine[err.kind] then step.tried, step.reads = tried, reads end -- it can be run again
  step.dead = { target = "timer:" .. step.id, pattern = err.pattern, reaction = err.reaction, version = err.version,
    error = stored(err), own = true }
  report(self, {}, err, step.dead.target, step)
  local to = self.resolve(step, "$thred", "failure")
  if #to.people > 0 then
    step.events[#step.events + 1] = error_event(self, nil, "timer:" .. step.id .. ":" .. step.number, step.id, step.now, err,
      to.people)
  end
  step:write_log("error", step.state.reaction, step.state.reaction)
  return step
end

-- Where a script was when the process ended, else where its reaction begins.
local function place_of(ran, patterns)
  if ran.file or not patterns then return ran.file, ran.line end
  local pattern = ran.version and patterns:version(ran.pattern, ran.version)
  local reaction = pattern and pattern.reactions[pattern.by_name[ran.reaction]]
  if reaction then return reaction.file or pattern.file, reaction.line end
end

---The process ended three times while this ran: what is known of it.
---@param ran table? which script it was in when it ended last
---@param patterns table? the registry, to look for where its reaction begins
---@param doing string? what was going on, if no event was processed
---@return table err
function failure.end_of_process(times, ran, patterns, doing)
  local message = ("the process ended %d times while %s"):format(times, doing or "this event was processed")
  ran = ran or {}
  if ran.why then message = ("%s, the last time because %s"):format(message, ran.why) end
  if not ran.pattern then return codes.error(codes.server, message) end
  local known, file, line = pcall(place_of, ran, patterns)
  if not known or not line then file, line = nil, nil end
  message = ("%s; it was %s a script of pattern %q%s%s"):format(message, ran.inside and "in" or "behind", ran.pattern,
    ran.reaction and (", reaction %q"):format(ran.reaction) or "", file and (", %s:%d"):format(file, line) or "")
  return codes.error(codes.server, message, { pattern = ran.pattern, reaction = ran.reaction, version = ran.version,
    file = file, line = line, kind = "killed" })
end

---It becomes a dead letter and is not run again.
function failure.killed(self, delivery)
  failure.dead(self, delivery, delivery.target or (delivery.doc and delivery.doc.thredId and "thred:" .. delivery.doc.thredId),
    failure.end_of_process(delivery.attempts, delivery.ran, self.patterns), 0)
end

---Events for the system itself.
function failure.system(self, delivery)
  local err = { code = codes.client, message = "not available yet" }
  local list, to = {}, sender(self, delivery.doc)
  if #to > 0 then list[1] = error_event(self, delivery.doc, "SYSTEM", "SYSTEM", delivery.at, err, to) end
  self:settle(delivery, { outcome = "error", rec = { error = err }, events = list },
    self:after(delivery, "error", list, { error = err }))
end

return failure
