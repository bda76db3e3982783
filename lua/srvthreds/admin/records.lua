-- SPDX-License-Identifier: MIT
-- Records as the admin API shows them: events in and out of a thred, its log, and why an event did or did not match.

local json = require "core.json"

local records = {}

local function decoded(v)
  if type(v) == "string" then
    local ok, value = pcall(json.decode, v)
    return ok and value or nil
  end
  if v == nil or v == json.null then return nil end
  return json.copy(v)
end

-- An event that went out has recipients.
local function event_of(row, rec, event)
  return {
    n = row.n, id = event.id, at = row.at, direction = row.kind, outcome = row.outcome, step = row.step, event = event,
    to = rec.to, people = rec.people or not (rec.services or rec.unknown) and rec.to or nil, services = rec.services,
    unknown = rec.unknown,
  }
end

local function add_log(log, row, rec, event)
  for _, line in ipairs(rec.log or {}) do
    log[#log + 1] = {
      n = row.n, at = row.at, step = row.step, event = event and event.id, outcome = line.outcome, from = line.from, to = line.to,
    }
  end
end

---@return table log, table events in order, integer? after where the next page begins
function records.of_thred(admin, id, limit, after)
  local rows = admin.store:records(id, { limit = limit, after = after })
  local log, events = {}, {}
  for _, row in ipairs(rows) do
    local rec, event = decoded(row.rec) or {}, decoded(row.body)
    add_log(log, row, rec, event)
    if event then events[#events + 1] = event_of(row, rec, event) end
  end
  return json.array(log), json.array(events), #rows == limit and rows[#rows].n or nil
end

-- Why ---------------------------------------------------------------------------------------------------------------

local function moves(rec)
  local parts = {}
  for _, line in ipairs(rec.log or {}) do
    if line.outcome == "matched" and line.to then
      parts[#parts + 1] = line.from and ("%s → %s"):format(line.from, line.to) or line.to
    elseif line.from then
      parts[#parts + 1] = ("%s in %s"):format(line.outcome:gsub("_", " "), line.from)
    end
  end
  return parts[1] and table.concat(parts, ", then ") or nil
end

local REFUSED = {
  exists = "its thred exists already", parent = "the thred that spawned it has ended",
  max = "max_instances threds of it run already",
  interval = "instance_interval has not passed since its last start",
}

local function with_offers(text, rec)
  if not rec.offered then return text end
  return ("%s; it was offered to %d waiting threds, none of which took it"):format(text, rec.offered)
end

local WHY = {
  queued = function(rec)
    if rec.waits then return ("it waits for pattern %s, which is paused"):format(rec.waits) end
    if rec.targets then return "it waits for patterns that are paused: " .. table.concat(rec.targets, ", ") end
    return "it is accepted and waits to be processed"
  end,
  matched = function(rec)
    if rec.targets then return with_offers("it went to several targets: " .. table.concat(rec.targets, ", "), rec) end
    if rec.agent then return ("agent %s handled it"):format(rec.agent) end
    return "it matched: " .. (moves(rec) or "its thred moved")
  end,
  handled = function(rec) return ("agent %s handled it"):format(rec.agent or "?") end,
  partial = function(rec)
    return "one of several needed conditions matched: " .. (moves(rec) or "the others are missing")
  end,
  not_matched = function(rec)
    local reaction = rec.log and rec.log[1] and rec.log[1].from
    return reaction and ("the thred waits in reaction %s, whose condition this event does not meet"):format(reaction)
      or "the condition did not hold any more when its turn came"
  end,
  no_pattern = function(rec) return with_offers("no pattern's first reaction matches it", rec) end,
  no_thred = function() return "its thred does not exist or has ended" end,
  refused = function(rec)
    local reason = REFUSED[rec.refused] or "it was refused"
    return ("pattern %s would have started, but %s"):format(rec.pattern or "?", reason)
  end,
  relayed = function() return "it is a broadcast: relayed to the others who take part" end,
  error = function(rec) return rec.error and rec.error.message or "its processing failed" end,
}

---In one sentence, for people.
---@param outcome string?
---@param rec table?
---@return string
function records.why(outcome, rec)
  local fn = WHY[outcome or "queued"]
  return fn and fn(rec or {}) or outcome
end

---An event's record, decoded.
function records.decoded(v) return decoded(v) end

return records
