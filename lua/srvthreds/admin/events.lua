-- SPDX-License-Identifier: MIT
-- One event: what it was, what became of it, and why.

local codes = require "srvthreds.engine.codes"
local json = require "core.json"
local api = require "srvthreds.admin.api"
local records = require "srvthreds.admin.records"

local function threds_of(row, rec)
  local list, seen = {}, {}
  local function add(id)
    if type(id) == "string" and not seen[id] then
      seen[id] = true
      list[#list + 1] = id
    end
  end
  add(row.thred)
  for _, id in ipairs(row.threds or {}) do add(id) end
  add(rec.thred)
  return json.array(list)
end

local function show(admin, call)
  local row = admin.store:event(call.id, call.query.source)
  if not row then api.fail(codes.not_found, "there is no event %s", call.id) end
  local rec = records.decoded(row.rec) or {}
  local event = records.decoded(row.body)
  local outcome = row.outcome ~= "queued" and row.outcome or nil
  local out = row.kind == "out"
  return {
    id = event and event.id or call.id, n = row.n, at = row.at, event = event,
    outcome = outcome or not out and "pending" or nil,
    direction = row.kind, source = row.source, step = row.step, threds = threds_of(row, rec), log = rec.log, error = rec.error,
    to = rec.to, people = rec.people, services = rec.services, unknown = rec.unknown, targets = rec.targets,
    offered = rec.offered, why = not out and records.why(row.outcome, rec) or nil,
  }
end

return { { "GET", "/api/events/:id", show } }
