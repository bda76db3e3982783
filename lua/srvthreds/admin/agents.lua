-- SPDX-License-Identifier: MIT
-- Agents of this process: what they have used, who is paused; pause, resume.

local codes = require "srvthreds.engine.codes"
local api = require "srvthreds.admin.api"
local names = require "srvthreds.pattern.names"
local usage = require "srvthreds.admin.usage"

local function nodes(admin) return admin.agents and admin.agents.agents or {} end

local function paused_by_id(admin)
  local by_id = {}
  for _, p in ipairs(admin.agents and admin.agents.pauses:list() or {}) do by_id[p.id] = p end
  return by_id
end

local function shown(node, paused)
  return {
    id = node.id, type = node.spec.type, name = node.spec.name, address = node.spec.address, file = node.file,
    version = node.version, status = paused and paused.state or "active", paused = paused, used = usage.total("agent " .. node.id),
  }
end

local function list(admin)
  local paused, items = paused_by_id(admin), {}
  for i, id in ipairs(names.sorted(nodes(admin))) do items[i] = shown(nodes(admin)[id], paused[id]) end
  return api.page(items)
end

local function find(admin, id)
  local node = nodes(admin)[id]
  if node then return node end
  local near = names.nearest(id, names.sorted(nodes(admin)))
  api.fail(codes.not_found, "no agent %s runs here%s", id, near and (", did you mean %s?"):format(near) or "")
end

local function show(admin, call) return shown(find(admin, call.id), paused_by_id(admin)[call.id]) end

local function pause(admin, call)
  local node, reason = find(admin, call.id), call.body.reason
  reason = type(reason) == "string" and reason ~= "" and reason or "by " .. call.who
  local changed = admin.agents.pauses:pause(node, { reason = reason, by = call.who })
  if changed then admin:audit(call, { what = "agent.pause", target = call.id, after = { reason = reason } }) end
  return { id = call.id, changed = changed, paused = paused_by_id(admin)[call.id] }
end

local function resume(admin, call)
  local node, before = find(admin, call.id), paused_by_id(admin)[call.id]
  local changed = admin.agents.pauses:resume(node, "by " .. call.who)
  if changed then admin:audit(call, { what = "agent.resume", target = call.id, before = before }) end
  return { id = call.id, changed = changed, waiting = before and before.waiting or 0 }
end

return {
  { "GET", "/api/agents", list, query = { "limit" } },
  { "GET", "/api/agents/:id", show },
  { "POST", "/api/agents/:id/pause", pause, body = { "reason" } },
  { "POST", "/api/agents/:id/resume", resume },
}
