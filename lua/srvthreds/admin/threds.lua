-- SPDX-License-Identifier: MIT
-- Threds: list, one with its log and events, transition, terminate.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local durations = require "srvthreds.durations"
local api = require "srvthreds.admin.api"
local names = require "srvthreds.pattern.names"
local threds = require "srvthreds.engine.thred"
local usage = require "srvthreds.admin.usage"
local records = require "srvthreds.admin.records"

local STATUSES = { active = true, finished = true, terminated = true }

local function summary(row)
  return {
    id = row.id, pattern = row.pattern, version = row.version, reaction = row.reaction, status = row.status,
    step = row.step, started = row.started, reacted = row.reacted, due = row.due, ended = row.ended,
  }
end

local function older_than(call)
  local text = call.query.older_than
  if not text then return nil end
  local ms, e = durations.parse(tonumber(text) or text)
  if not ms then api.fail(codes.argument, "older_than: %s", e) end
  return runtime.now() - ms
end

local function list(admin, call)
  local q = call.query
  if q.status and not STATUSES[q.status] then
    api.fail(codes.argument, "status=%s: active, finished or terminated is expected", q.status)
  end
  local page = admin.store:threds {
    pattern = api.pattern(admin, call), reaction = q.reaction, status = q.status, older_than = older_than(call),
    limit = api.number(call, "limit", 100, 1, 1000), after = api.number(call, "after", nil, 0, math.maxinteger),
  }
  local items = {}
  for i, row in ipairs(page.items) do items[i] = summary(row) end
  return api.page(items, page.after)
end

local function find(admin, id)
  return admin.store:thred(id) or api.fail(codes.no_thred, "there is no thred %s", id)
end

local function show(admin, call)
  local row = find(admin, call.id)
  local answer = summary(row)
  if row.state then
    local state = threds.decode(row)
    answer.locals, answer.participants = state.locals, state.participants
    answer.parent, answer.children = state.parent, state.children
    answer.remembered = json.array(names.sorted(state.memory or {}))
  end
  answer.usage, answer.paused = usage.of(row.pattern), admin.engine.pauses:shown(row.pattern)
  local limit = api.number(call, "limit", 1000, 1, 10000)
  answer.log, answer.events, answer.after = records.of_thred(admin, call.id, limit,
    api.number(call, "after", nil, 0, math.maxinteger))
  return answer
end

-- A thred that can still move.
local function live(admin, id)
  local row = find(admin, id)
  if row.status ~= "active" then
    api.fail(codes.exists, "thred %s is %s: it doesn't move any more", id, row.status)
  end
  return row
end

local BUILT_IN = { "$next", "$terminate" }

local function check_reaction(admin, row, to)
  local pattern = admin.engine.patterns:version(row.pattern, row.version)
  if not pattern then return end
  local known = names.sorted(pattern.by_name)
  table.move(BUILT_IN, 1, #BUILT_IN, #known + 1, known)
  for _, name in ipairs(known) do
    if name == to then return end
  end
  local near = names.nearest(to, known)
  api.fail(codes.argument, "pattern %s has no reaction %q%s; it has %s", row.pattern, to,
    near and (", did you mean %s?"):format(near) or "", names.join(known, "and"))
end

local function transition(admin, call)
  local to, row = api.text(call, "to"), live(admin, call.id)
  check_reaction(admin, row, to)
  admin:message(call, "transition:" .. row.id, { to = to, by = call.who, at = runtime.now() },
    { what = "thred.transition", target = row.id, before = { reaction = row.reaction }, after = { reaction = to } })
  return { id = row.id, from = row.reaction, to = to }
end

local function terminate(admin, call)
  local row = live(admin, call.id)
  admin:message(call, "terminate:" .. row.id, { by = call.who, at = runtime.now() },
    { what = "thred.terminate", target = row.id, before = { reaction = row.reaction, status = row.status } })
  return { id = row.id, terminated = true }
end

return {
  { "GET", "/api/threds", list, query = { "pattern", "reaction", "status", "older_than", "limit", "after" } },
  { "GET", "/api/threds/:id", show, query = { "limit", "after" } },
  { "POST", "/api/threds/:id/transition", transition, body = { "to" } },
  { "POST", "/api/threds/:id/terminate", terminate },
}
