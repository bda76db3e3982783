-- SPDX-License-Identifier: MIT
-- The registry of patterns: the active version of each, the older ones that live threds still run, and the index by which
-- an unbound event finds who can want it. The store says which version is active; files are another module's concern.

local budget = require "srvthreds.engine.budget"
local codes = require "srvthreds.engine.codes"
local index = require "srvthreds.pattern.index"
local logs = require "core.log"
local script = require "core.script"
local shape = require "srvthreds.pattern.shape"
local threds = require "srvthreds.engine.thred"
local version = require "srvthreds.live.version"

local patterns = {}
patterns.__index = patterns

function patterns.new(store)
  return setmetatable({
    store = store, versions = {}, actives = {}, names = {}, index = index.new(), log = logs.logger { module = "patterns" },
  }, patterns)
end

-- Its limits, for each of its reactions, counted under their names.
local function meter(pattern)
  local limits = pattern.limits
  local function named(reaction)
    return script.meter { pattern = pattern.id, reaction = reaction and reaction.name, version = pattern.version,
      cpu = limits.cpu, wall = limits.wall, memory = limits.memory }
  end
  pattern.meters = {}
  for _, reaction in ipairs(pattern.reactions) do pattern.meters[reaction.name] = named(reaction) end
  pattern.meter = named()
end

-- `files` are the version's, as the store keeps them.
local function compile(self, row)
  local files = row.files or self.store:pattern(row.hash).files
  local v = version.of_files(files)
  if not v.pattern then
    error(codes.error(codes.server, ("pattern %s version %s can't be loaded: %s"):format(row.id, row.hash,
      version.text(v.problems)), { pattern = row.id, version = row.hash }), 0)
  end
  v.pattern.version, v.pattern.files = row.hash, files
  meter(v.pattern)
  self.versions[row.hash] = v.pattern
  return v.pattern
end

-- Those of all active versions in one look.
local function files_by_version(store)
  local by_hash = {}
  for _, row in ipairs(store:active_files()) do
    by_hash[row.hash] = by_hash[row.hash] or {}
    by_hash[row.hash][row.path] = row.source
  end
  return by_hash
end

---Loads what the store has active.
function patterns:load()
  local files = files_by_version(self.store)
  for _, row in ipairs(self.store:active_patterns()) do
    row.files = files[row.hash]
    local ok, e = pcall(function()
      local pattern = self.versions[row.hash] or compile(self, row)
      self:use(pattern, row.enabled)
    end)
    if not ok then self.log.error("pattern can't be loaded", { pattern = row.id, version = row.hash, err = tostring(e) }) end
  end
end

---Makes this loaded version the one that new threds start on.
---@param enabled boolean? false: it stays known, but starts nothing
function patterns:use(pattern, enabled)
  self:drop(pattern.id)
  if not pattern.meters then meter(pattern) end
  self.versions[pattern.version] = pattern
  self.actives[pattern.id] = pattern
  self.names[pattern.name] = pattern
  pattern.enabled = enabled ~= false and pattern.active ~= false
  if pattern.enabled then self.index:add(pattern, pattern.reactions[1].condition) end
  if self.pauses then self.pauses:used(pattern) end
end

---No new threds of this pattern; live ones go on.
function patterns:drop(id)
  local old = self.actives[id]
  if not old then return end
  self.index:remove(old)
  self.actives[id] = nil
  if self.names[old.name] == old then self.names[old.name] = nil end
end

---The version that starts threds, or nil.
function patterns:active(id)
  local p = self.actives[id]
  return p and p.enabled and p or nil
end

function patterns:by_name(name)
  local p = self.names[name] or self.actives[name]
  return p and p.enabled and p or nil
end

---A version that a thred runs; read from the store when it isn't loaded.
function patterns:version(_, hash)
  local p = self.versions[hash]
  if p then return p end
  local row = self.store:pattern(hash)
  if not row then return nil end
  return compile(self, row)
end

function patterns:loaded()
  local list = {}
  for _, p in pairs(self.versions) do list[#list + 1] = p end
  table.sort(list, function(a, b) return a.version < b.version end)
  return list
end

---Patterns whose first reaction can want this event, in order of their ids.
function patterns:candidates(doc)
  local list = self.index:candidates(doc)
  if #list > 1 then table.sort(list, function(a, b) return a.id < b.id end) end
  return list
end

---Moves a step's thred over to the active version, if its reaction is still there and has the same shape.
function patterns:upgrade(step)
  local state = step.state
  local to = self.actives[state.pattern]
  if not to or to.version == state.version or state.status ~= "active" then return end
  if self.pauses and self.pauses:is_paused(state.pattern) then return end
  local i = to.by_name[state.reaction]
  local reaction = i and to.reactions[i]
  local old = step:reaction()
  if not reaction or not old or not shape.same(old, reaction) then return end
  local from = state.version
  step.pattern, state.version, step.upgraded = to, to.version, from
  step.due = reaction.expiry and state.reacted + reaction.expiry.after or nil
  if to.on_upgrade then
    step.writable = true
    local ok, e = script.call(step, to.meter, to.on_upgrade, threds.face, from)
    step.writable = false
    if not ok then
      budget.failed(to.id, nil, e.kind)
      step:fail("on_upgrade", e.message, { file = e.file, line = e.line, kind = e.kind })
    end
  end
end

return patterns
