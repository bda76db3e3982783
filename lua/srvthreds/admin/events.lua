-- SPDX-License-Identifier: MIT
-- One event: what it was, what became of it, and why.

local codes = require "srvthreds.engine.codes"
local ids = require "srvthreds.engine.ids"
local json = require "core.json"
local runtime = require "core.runtime"
local api = require "srvthreds.admin.api"
local records = require "srvthreds.admin.records"

local SEARCH_NS = 1000000000

-- The thred of one of several targets, if it came to be.
local function thred_of(admin, target, row, event)
  local kind, arg = target:match "^(%a+):(.*)$"
  local id = arg
  if kind == "start" then id = ids.started(admin.engine.key, arg, row.source or "", event and event.id or "") end
  return id and admin.store:thred(id) and id or nil
end

local function threds_of(admin, row, rec, event)
  local list, seen = {}, {}
  local function add(id)
    if type(id) == "string" and not seen[id] then
      seen[id] = true
      list[#list + 1] = id
    end
  end
  add(row.thred)
  add(rec.thred)
  for _, target in ipairs(rec.targets or {}) do add(thred_of(admin, target, row, event)) end
  return json.array(list)
end

-- Whoever it is from, or to whom it went: one part of the store after another, the newest of what went out first, for a while.
local function search(admin, id)
  local last = runtime.ticks() + SEARCH_NS
  local row, place = admin.store:find_event(id)
  while not row and place and runtime.ticks() < last do row, place = admin.store:find_event(id, place) end
  if not row and place then
    api.fail(codes.not_found, "there is no event %s among the newest that were looked at: add ?source= for one that came in, "
      .. "?thred= for one of a thred", id)
  end
  return row
end

local function find(admin, call)
  local q, id = call.query, call.id
  if q.source then return admin.store:event(id, q.source) end
  if q.thred then return admin.store:thred_event(q.thred, id) end
  return search(admin, id)
end

local function show(admin, call)
  local row = find(admin, call)
  if not row then api.fail(codes.not_found, "there is no event %s", call.id) end
  local rec = records.decoded(row.rec) or {}
  local event = records.decoded(row.body)
  local outcome = row.outcome ~= "queued" and row.outcome or nil
  local out = row.kind == "out"
  return {
    id = event and event.id or call.id, n = row.n, at = row.at, event = event,
    outcome = outcome or not out and "pending" or nil,
    direction = row.kind, source = row.source, step = row.step, threds = threds_of(admin, row, rec, event),
    log = rec.log, error = rec.error,
    to = rec.to, people = rec.people or not (rec.services or rec.unknown) and rec.to or nil, services = rec.services,
    unknown = rec.unknown, targets = rec.targets,
    offered = rec.offered, why = not out and records.why(row.outcome, rec) or nil,
  }
end

return { { "GET", "/api/events/:id", show, query = { "source", "thred" } } }
