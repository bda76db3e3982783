-- SPDX-License-Identifier: MIT
-- A thred's state, and the face of it that scripts see.
--
-- state = { pattern, version, reaction, status, started, reacted, locals, participants (list), memory (matched operands of
--           this reaction), published (name -> id), parent?, children (list) }

local json = require "core.json"
local script = require "core.script"
local limits = require "srvthreds.engine.limits"

local thred = {}

-- What a state has none of; whoever writes gets a table of its own first (thred.own).
local NONE, NO_LIST = {}, json.array {}

---A thred that begins now.
function thred.new(pattern, now)
  return {
    pattern = pattern.id, version = pattern.version, reaction = pattern.reactions[1].name, locals = {},
    participants = NO_LIST, memory = NONE, published = NONE, started = now, reacted = now,
    children = NO_LIST, status = "active",
  }
end

---The table under `key`, to be written to.
function thred.own(state, key)
  local t = state[key]
  if t == NONE then
    t = {}
    state[key] = t
  elseif t == NO_LIST then
    t = json.array {}
    state[key] = t
  end
  return t
end

function thred.takes_part(state, id)
  local list = state.participants
  for i = 1, #list do
    if list[i] == id then return true end
  end
  return false
end

---@return boolean true if it is new
function thred.join(state, id)
  if thred.takes_part(state, id) then return false end
  local list = thred.own(state, "participants")
  list[#list + 1] = id
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

local function with_columns(row)
  local state = json.decode(row.state)
  state.pattern, state.version, state.reaction, state.status = row.pattern, row.version, row.reaction, row.status
  state.started, state.reacted = row.started, row.reacted
  state.id, state.step, state.due = row.id, row.step, row.due
  return state
end

---The state of a stored thred: what stands in columns of its row is not in its bytes.
---@param row table|userdata as the store gives it: of a look, or of the step that begins
---@return table new at every call; with `id`, `step` and `due` as they were
function thred.decode(row)
  local state = type(row) == "table" and with_columns(row) or row:thred()
  state.locals = state.locals or {}
  state.participants = state.participants or NO_LIST
  state.memory = state.memory or NONE
  state.published = state.published or NONE
  state.children = state.children or NO_LIST
  return state
end

local function unless_empty(t)
  if t ~= NONE and t ~= NO_LIST and next(t) ~= nil then return t end
end

local stored = {} -- one for all: encoding it waits for nothing

---The bytes of a state.
function thred.encode(state)
  stored.locals, stored.parent = state.locals, state.parent
  stored.participants, stored.memory = unless_empty(state.participants), unless_empty(state.memory)
  stored.published, stored.children = unless_empty(state.published), unless_empty(state.children)
  return json.encode(stored, limits.document)
end

---The message of an error of encode, with the path of the local as scripts write it.
function thred.mistake(err)
  return (tostring(err):gsub("%$%.locals%.", "thred."))
end

return thred
