-- SPDX-License-Identifier: MIT
-- The edge: what a participant sends becomes an event of that participant, durably queued, or is refused with a reason.

local json = require "core.json"
local metrics = require "core.metrics"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local events = require "srvthreds.engine.event"

local accept = {}

-- Only the system sends these.
local RESERVED = { ["org.wt.tell"] = true, ["org.wt.broadcast"] = true }

local function refuse(message) error(codes.error(codes.argument, message), 0) end

local function optional_string(event, key)
  local v = event[key]
  if v == nil or v == json.null then
    event[key] = nil
  elseif type(v) ~= "string" or v == "" then
    refuse(("event.%s is a string that isn't empty, not %s"):format(key, json.encode(v):sub(1, 60)))
  end
  return event[key]
end

local function check_data(event)
  local data = event.data
  if data == nil then return end
  if json.kind(data) ~= "object" then refuse("event.data is an object {title?, description?, display?, advice?, content?}") end
  if data.content ~= nil and data.content ~= json.null and json.kind(data.content) ~= "object" then
    refuse "event.data.content is an object {valuesType?, values?, tasks?, resources?, items?, error?}"
  end
end

---The event as it is kept: from this source, with an id and a time, without what only the system may say.
---@param event table decoded JSON; changed
---@param source table { id, name? }
---@param now integer ms
---@return userdata doc
function accept.prepare(event, source, now)
  if json.kind(event) ~= "object" then refuse "an event is an object {type, id?, time?, thredId?, re?, data?}" end
  if not optional_string(event, "type") then
    error(codes.error(codes.missing, "event.type is missing: which kind of event is it?"), 0)
  end
  if RESERVED[event.type] then
    refuse(("events of the type %s come from the system only: did you mean org.wt.client.tell or org.wt.client.broadcast?")
      :format(event.type))
  end
  event.id = optional_string(event, "id") or accept.new_id()
  optional_string(event, "thredId")
  optional_string(event, "re")
  if event.time == nil then
    event.time = now
  elseif math.type(event.time) ~= "integer" then
    refuse "event.time is a number of ms since 1970, an integer"
  end
  check_data(event)
  event.source, event.causedBy, event.hops = source, nil, nil
  return events.doc(json.encode(event))
end

function accept.new_id()
  return (runtime.random_bytes(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- What makes two events with one id the same: type, thredId, re and data, never the time.
function accept.content_of(doc)
  local data = doc.data
  return runtime.hash128(doc.type, doc.thredId or "", doc.re or "", data ~= nil and json.bytes(data) or "")
end

-- An event with several targets names its threds in its record.
local function threds_of(info)
  local rec = json.decode(info.rec)
  return rec.threds and json.copy(rec.threds) or info.threds
end

-- Handles by type; types come from outside, so no more are kept than the metric keeps apart.
local TYPES = 100
local by_type, types = {}, 0

---An event of this type was accepted.
function accept.count(event_type)
  local counter = by_type[event_type]
  if not counter then
    counter = metrics.counter("events_received_total", { type = event_type })
    if types < TYPES then
      by_type[event_type], types = counter, types + 1
    end
  end
  counter:add()
end

---Queues the event. Waits while there is no room. `durable(err)` is called when it is on disk, or could not be put there.
---@return string "accepted"|"duplicate"
---@return any number of the event, or for a duplicate what became of the first { n, outcome, threds }
function accept.queue(queue, doc, durable)
  local status, info = queue:accept_event(doc, runtime.now(), durable)
  if not status then -- a field with escapes
    status, info = queue:accept(doc, {
      source = doc.source.id, id = doc.id, thred = doc.thredId, at = runtime.now(), content = accept.content_of(doc),
    }, durable)
  end
  if status == "conflict" then
    refuse(("the id %q was used for another event of %s: give each event an id of its own"):format(doc.id, doc.source.id))
  end
  if status == "accepted" then accept.count(doc.type) end
  if status == "duplicate" and info.rec then info.threds = threds_of(info) end
  return status, info
end

return accept
