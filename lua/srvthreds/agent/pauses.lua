-- SPDX-License-Identifier: MIT
-- Agents that are paused: by a command, or by themselves, when they go over their budget again and again. None of their
-- functions is called then; their messages wait in their queue, durably and in order, or become dead letters. It is what
-- engine/pauses.lua is for patterns.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local overruns = require "srvthreds.engine.overruns"

local META = "agents.paused" -- meta: agent id -> { since, reason, by, version }
local RETRY_MS = 1000
local LOOK_MS = 1000 -- between two looks at how many messages wait
local DEFAULTS = { after = 5, within = 60000, events = "wait", waiting = 100000 }

local pauses = {}
pauses.__index = pauses

---@param store table
---@param options srvthreds.PauseOptions?
---@param turn fun(id: string) the agent of this id is paused, or goes on
function pauses.new(store, options, turn)
  local self = setmetatable({ store = store, turn = turn, held = {}, options = {} }, pauses)
  for key, value in pairs(DEFAULTS) do self.options[key] = options and options[key] or value end
  self.overruns = overruns.new(self.options)
  self.timer = runtime.timer(function() self:look() end)
  return self
end

function pauses:stop() self.timer:stop() end

-- Messages wait in the agent's own queue, whose end nobody can take from: what is more than may wait goes at its beginning.

local function look_later(self)
  if next(self.held) and self.options.events == "wait" then self.timer:start(runtime.now() + LOOK_MS) end
end

---Do more messages wait than may? Then the agent takes so many of them. In a task.
function pauses:look()
  for _, row in ipairs(self.store:queue_counts()) do
    local p = self.held[row.topic]
    if p and row.count > self.options.waiting then
      p.excess = row.count - self.options.waiting
      self.turn(row.topic)
    end
  end
  look_later(self)
end

---Does the paused agent take messages all the same? They become dead letters.
function pauses:takes(id) return self.options.events == "dead" or self.held[id].excess ~= nil end

---A message came to the paused agent. Does it have to wait?
function pauses:keeps(id)
  local p = self.held[id]
  if not p or self.options.events == "dead" then return false end
  if not p.excess then return true end
  p.excess = p.excess > 1 and p.excess - 1 or nil
  if not p.excess then self.turn(id) end
  return false
end

---Who was paused before this start. In a task, before any agent starts.
function pauses:load()
  local bytes = self.store:meta(META)
  for id, facts in pairs(bytes and json.decode(bytes) or {}) do self.held[id] = facts end
  look_later(self)
end

-- An edit ends only the pause that an agent has put on itself.
local function what_to_do(id, by)
  return ("%s`srvthreds agents resume %s`"):format(by and "" or "mend it and save its file, or ", id)
end

local function save(self)
  local facts = {}
  for id, p in pairs(self.held) do facts[id] = { since = p.since, reason = p.reason, by = p.by, version = p.version } end
  self.store:meta(META, json.encode(facts))
end

-- The store may be unable to keep it just now.
local function save_soon(self)
  if pcall(save, self) then return end
  runtime.spawn(function()
    repeat runtime.sleep(RETRY_MS) until pcall(save, self)
  end)
end

---A commit failed: what was kept last may be lost.
function pauses:failed() save_soon(self) end

---@param node { id: string, log: table, version: string }
---@param facts { reason: string, by: string? }
---@return boolean changed
function pauses:pause(node, facts)
  if self.held[node.id] then return false end
  self.held[node.id] = { since = runtime.now(), reason = facts.reason, by = facts.by, version = node.version }
  self.overruns:forget(node.id)
  self.turn(node.id)
  node.log.warn(("agent paused: %s; its messages %s: %s"):format(facts.reason,
    self.options.events == "dead" and "become dead letters" or "wait", what_to_do(node.id, facts.by)), {})
  save_soon(self)
  look_later(self)
  return true
end

---@param why string for the log
---@return boolean changed
function pauses:resume(node, why)
  if not self.held[node.id] then return false end
  self.held[node.id] = nil
  self.turn(node.id)
  node.log.info(("agent resumes: %s"):format(why), {})
  save_soon(self)
  return true
end

---A function of the agent failed.
---@param err table as core.script.call gives it
function pauses:note(node, err)
  local reason = self.overruns:note(node.id, { version = node.version, kind = err.kind, message = err.message })
  if reason then self:pause(node, { reason = reason }) end
end

---This version of the agent is the one that runs now. Who paused it by hand resumes it by hand.
function pauses:used(node)
  local p = self.held[node.id]
  if p and not p.by and p.version ~= node.version then self:resume(node, "it has a new version") end
end

function pauses:is_paused(id) return self.held[id] ~= nil end

---What a message that comes meanwhile becomes if it doesn't wait.
---@return table err
function pauses:error_of(id)
  local p = self.held[id]
  return codes.error(codes.server, ("agent %s is paused: %s; `srvthreds agents resume %s` when it is mended")
    :format(id, p.reason, id))
end

---As the admin API shows it, with how many messages wait. In a task.
---@return table[] in order of their ids
function pauses:list()
  local list, waiting = {}, {}
  if not next(self.held) then return list end
  for _, row in ipairs(self.store:queue_counts()) do waiting[row.topic] = row.count end
  for id, p in pairs(self.held) do
    list[#list + 1] = { id = id, state = "paused", since = p.since, reason = p.reason, by = p.by, version = p.version,
      waiting = waiting[id] or 0 }
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

---For /health/ready and people: who is paused, and what to do.
---@return string?
function pauses:summary()
  local parts = {}
  for id, p in pairs(self.held) do
    parts[#parts + 1] = ("agent %s is paused (%s): %s"):format(id, p.reason, what_to_do(id, p.by))
  end
  table.sort(parts)
  return parts[1] and table.concat(parts, "; ") or nil
end

return pauses
