-- SPDX-License-Identifier: MIT
-- Dead letters: one per (event, target) whose processing failed. Looked at, tried again, dropped.

local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local api = require "srvthreds.admin.api"
local records = require "srvthreds.admin.records"

local function item(row)
  return {
    id = row.id, event = records.decoded(row.body), source = row.source, message = records.decoded(row.message),
    target = row.target, pattern = row.pattern,
    reaction = row.reaction, version = row.version, error = records.decoded(row.error),
    attempts = row.attempts, at = row.at,
  }
end

local function list(admin, call)
  local limit, after = api.number(call, "limit", 100, 1, 1000), api.number(call, "after", nil, 0, math.maxinteger)
  local pattern, items = api.pattern(admin, call), {}
  repeat
    local page = admin.store:dead { limit = limit, after = after }
    for _, row in ipairs(page.items) do
      if #items == limit then return api.page(items, after) end
      after = row.id
      if not pattern or row.pattern == pattern then items[#items + 1] = item(row) end
    end
  until not page.after
  return api.page(items, nil)
end

local function number_of(call)
  local id = math.tointeger(tonumber(call.id))
  return id or api.fail(codes.argument, "%s is no number of a dead letter", call.id)
end

local function find(admin, id)
  local row = admin.store:dead({ id = tostring(id) }).items[1]
  return row or api.fail(codes.not_found, "there is no dead letter %d", id)
end

local function show(admin, call) return item(find(admin, number_of(call))) end

local function retry(admin, call)
  local id = number_of(call)
  local row = find(admin, id)
  if not admin.store:dead_retry(id, runtime.now()) then
    api.fail(codes.not_found, "there is no dead letter %d any more", id)
  end
  admin:audit(call, { what = "dead.retry", target = tostring(id), before = { target = row.target } })
  return { id = id, retried = true }
end

local function drop(admin, call)
  local id = number_of(call)
  local row = find(admin, id)
  admin.store:dead_drop(id)
  admin:audit(call, { what = "dead.drop", target = tostring(id), before = item(row) })
  return { id = id, dropped = true }
end

return {
  { "GET", "/api/dead", list, query = { "pattern", "limit", "after" } },
  { "GET", "/api/dead/:id", show },
  { "POST", "/api/dead/:id/retry", retry },
  { "DELETE", "/api/dead/:id", drop },
}
