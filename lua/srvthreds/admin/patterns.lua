-- SPDX-License-Identifier: MIT
-- Patterns: which versions there are, how many threds run each, what is wrong with which file; on, off, back.

local json = require "core.json"
local codes = require "srvthreds.engine.codes"
local active = require "srvthreds.live.active"
local api = require "srvthreds.admin.api"
local names = require "srvthreds.pattern.names"
local shape = require "srvthreds.pattern.shape"
local usage = require "srvthreds.admin.usage"

-- hash -> number of live threds
local function threds_by_version(admin)
  local counts = {}
  for _, row in ipairs(admin.store:thred_counts()) do
    counts[row.version] = (counts[row.version] or 0) + row.count
  end
  return counts
end

-- id -> { active = hash, off = why, versions = { {hash, at} } }, as the store has them.
local function stored(admin)
  local by_id, off = {}, active.turned_off(admin.store)
  local function of(id)
    by_id[id] = by_id[id] or { versions = {}, off = off[id] }
    return by_id[id]
  end
  for _, row in ipairs(admin.store:patterns()) do
    table.insert(of(row.id).versions, { hash = row.hash, at = row.at })
  end
  for _, row in ipairs(admin.store:active_patterns()) do of(row.id).active = row.hash end
  return by_id
end

local function problems_of(admin)
  local by_id, list = {}, {}
  for _, p in ipairs(admin.live and admin.live:problems() or {}) do
    local shown = { file = p.file, pattern = p.pattern, at = p.at, text = p.text, failed = p.failed }
    list[#list + 1] = shown
    if p.pattern then by_id[p.pattern] = by_id[p.pattern] or shown end
  end
  return by_id, list
end

local function files_of(admin) return admin.live and admin.live:by_pattern() or {} end

local function total(versions, counts)
  local n = 0
  for _, v in ipairs(versions) do n = n + (counts[v.hash] or 0) end
  return n
end

local function status_of(entry, pattern, paused)
  if paused then return paused.state end
  if entry.off then return entry.off end
  if not entry.active then return "stored" end
  return pattern and pattern.active == false and "draft" or "active"
end

local function summary(admin, id, entry, counts, files)
  local pattern = admin.engine.patterns.versions[entry.active or ""]
  local file, paused = files[id] or {}, admin.engine.pauses:shown(id)
  return {
    id = id, name = pattern and pattern.name, description = pattern and pattern.description, version = entry.active,
    status = status_of(entry, pattern, paused), paused = paused, used = usage.total(id),
    versions = #entry.versions, threds = total(entry.versions, counts),
    file = file.path, file_version = file.hash, file_differs = file.hash and file.hash ~= entry.active or nil,
  }
end

local function list(admin, call)
  local all, counts, items = stored(admin), threds_by_version(admin), {}
  local by_id, problems = problems_of(admin)
  local files, limit, last, more = files_of(admin), api.number(call, "limit", 100, 1, 1000), nil, nil
  for _, id in ipairs(names.sorted(all)) do
    if #items == limit then more = last break end
    if not call.query.after or id > call.query.after then
      local item = summary(admin, id, all[id], counts, files)
      item.problem = by_id[id] and by_id[id].text
      items[#items + 1], last = item, id
    end
  end
  local page = api.page(items, more)
  page.problems = json.array(problems)
  return page
end

local function find(admin, id)
  local entry = stored(admin)[id]
  if entry then return entry end
  local known = {}
  for _, row in ipairs(admin.store:patterns()) do known[#known + 1] = row.id end
  local near = names.nearest(id, known)
  api.fail(codes.not_found, "there is no pattern %s%s", id, near and (", did you mean %s?"):format(near) or "")
end

local function reactions_of(pattern)
  local list_ = {}
  for i, r in ipairs(pattern and pattern.reactions or {}) do
    list_[i] = { name = r.name, line = r.line, shape = shape.shown(r.condition), expiry = r.expiry and { after = r.expiry.after } }
  end
  return json.array(list_)
end

local function show(admin, call)
  local entry, counts = find(admin, call.id), threds_by_version(admin)
  local answer, versions = summary(admin, call.id, entry, counts, files_of(admin)), {}
  table.sort(entry.versions, function(a, b) return (a.at or 0) > (b.at or 0) end)
  for i, v in ipairs(entry.versions) do
    versions[i] = { version = v.hash, at = v.at, active = v.hash == entry.active, threds = counts[v.hash] or 0 }
  end
  answer.versions = json.array(versions)
  answer.usage = usage.of(call.id)
  answer.reactions = reactions_of(admin.engine.patterns.versions[entry.active or ""])
  local by_id = problems_of(admin)
  answer.problem = by_id[call.id] and by_id[call.id].text
  return answer
end

local function show_version(admin, call)
  local row = admin.store:pattern(call.version)
  if not row or row.id ~= call.id then
    api.fail(codes.not_found, "pattern %s has no version %s", call.id, call.version)
  end
  return { id = row.id, version = row.hash, at = row.at, files = row.files }
end

local function live(admin)
  return admin.live or api.fail(codes.client, "this process loads no patterns")
end

local function turn(on)
  return function(admin, call)
    local entry = find(admin, call.id)
    local changed = live(admin):enable(call.id, on)
    if changed then
      local what = on and "pattern.enable" or "pattern.disable"
      admin:audit(call, { what = what, target = call.id, before = { off = entry.off } })
    end
    return { id = call.id, enabled = on, changed = changed }
  end
end

local function reason_of(call)
  local reason = call.body.reason
  return type(reason) == "string" and reason ~= "" and reason or "by " .. call.who
end

local function pause(admin, call)
  find(admin, call.id)
  local active_version = admin.engine.patterns.actives[call.id]
  local changed = admin.engine.pauses:pause(call.id, {
    reason = reason_of(call), by = call.who, version = active_version and active_version.version,
  })
  if changed then admin:audit(call, { what = "pattern.pause", target = call.id, after = { reason = reason_of(call) } }) end
  return { id = call.id, changed = changed, paused = admin.engine.pauses:shown(call.id) }
end

local function resume(admin, call)
  local before = admin.engine.pauses:shown(call.id)
  if not before then find(admin, call.id) end
  local changed = admin.engine.pauses:resume(call.id, "by " .. call.who)
  if changed then admin:audit(call, { what = "pattern.resume", target = call.id, before = before }) end
  return { id = call.id, changed = changed, waiting = before and before.waiting or 0 }
end

local function rollback(admin, call)
  local entry, to = find(admin, call.id), api.text(call, "version")
  local hash = live(admin):rollback(call.id, to)
  admin:audit(call, {
    what = "pattern.rollback", target = call.id, before = { version = entry.active }, after = { version = hash },
  })
  return { id = call.id, version = hash, before = entry.active }
end

local function reload(admin)
  live(admin):scan()
  local _, problems = problems_of(admin)
  return { problems = json.array(problems) }
end

return {
  { "GET", "/api/patterns", list, query = { "limit", "after" } },
  { "POST", "/api/patterns/reload", reload },
  { "GET", "/api/patterns/:id", show },
  { "GET", "/api/patterns/:id/versions/:version", show_version },
  { "POST", "/api/patterns/:id/enable", turn(true) },
  { "POST", "/api/patterns/:id/disable", turn(false) },
  { "POST", "/api/patterns/:id/pause", pause, body = { "reason" } },
  { "POST", "/api/patterns/:id/resume", resume },
  { "POST", "/api/patterns/:id/rollback", rollback, body = { "version" } },
}
