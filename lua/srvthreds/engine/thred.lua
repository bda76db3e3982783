-- SPDX-License-Identifier: MIT
-- A thred's state, and the face of it that scripts see.
--
-- state = { pattern, version, reaction, status, started, reacted, locals, participants (list), memory (matched operands of
--           this reaction), published (name -> id), parent?, children (list) }

local json = require "core.json"
local script = require "core.script"
local codes = require "srvthreds.engine.codes"

local thred = {}

---A thred that begins now.
function thred.new(pattern, now)
  return {
    pattern = pattern.id, version = pattern.version, reaction = pattern.reactions[1].name, locals = {},
    participants = json.array {}, memory = {}, published = {}, started = now, reacted = now,
    children = json.array {}, status = "active",
  }
end

function thred.takes_part(state, id)
  for _, p in ipairs(state.participants) do
    if p == id then return true end
  end
  return false
end

---@return boolean true if it is new
function thred.join(state, id)
  if thred.takes_part(state, id) then return false end
  state.participants[#state.participants + 1] = id
  return true
end

-- The step whose script is running: the context of its script call.
local function running()
  local step = script.context()
  if not step.state then error("a thred exists only while an event is handled, not while the file loads", 3) end
  return step
end

local function read_local(_, name)
  local step = running()
  local v = step.state.locals[name]
  if type(v) == "table" and not step.writable then return json.view(v, "thred." .. name) end
  return v
end

local function write_local(_, name, value)
  local step = running()
  if type(name) ~= "string" then error(("a local's name is a string, not a %s"):format(type(name)), 2) end
  if not step.writable then
    error(("thred.%s can't be written here: locals are written in on_true, on_publish and on_upgrade"):format(name), 2)
  end
  local kind = type(value)
  if kind == "table" or kind == "userdata" then
    local ok, copied = pcall(json.copy, value)
    if not ok then error(("thred.%s: %s"):format(name, tostring(copied)), 2) end
    value = copied
  elseif kind == "function" or kind == "thread" then
    error(("thred.%s: a %s can't be kept in a local; locals are JSON values"):format(name, kind), 2)
  end
  step.state.locals[name] = value
end

---The value that scripts get as `thred`: its keys are the locals of the step that runs. One for all threds: who keeps it
---sees the thred whose step runs then.
thred.face = script.freeze({}, "thred")
local meta = debug.getmetatable(thred.face)
meta.__index, meta.__newindex = read_local, write_local
function meta.__pairs() return pairs(json.view(running().state.locals)) end

---The state of a stored thred: what stands in columns of its row is not in its bytes.
---@param row table as the store gives it
function thred.decode(row)
  local state = json.decode(row.state)
  state.locals = state.locals or {}
  state.participants = state.participants or json.array {}
  state.memory = state.memory or {}
  state.published = state.published or {}
  state.children = state.children or json.array {}
  state.pattern, state.version, state.reaction, state.status = row.pattern, row.version, row.reaction, row.status
  state.started, state.reacted = row.started, row.reacted
  return state
end

local function unless_empty(t)
  if next(t) ~= nil then return t end
end

local STATE_MAX = 4 << 20 -- bytes

---The bytes of a state. An error in a local names its path.
function thred.encode(state)
  local ok, bytes = pcall(json.encode, {
    locals = state.locals, participants = unless_empty(state.participants), memory = unless_empty(state.memory),
    published = unless_empty(state.published), children = unless_empty(state.children), parent = state.parent,
  }, STATE_MAX)
  if ok then return bytes end
  local e = codes.of(bytes)
  e.message = e.message:gsub("%$%.locals%.", "thred.")
  error(e, 0)
end

return thred
