-- SPDX-License-Identifier: MIT
-- A thred's state, and the face of it that scripts see.
--
-- state = { pattern, version, reaction, locals, participants (list), memory (matched operands of this reaction),
--           published (name -> id), started, reacted, parent?, children (list), status, last (ms, finished threds) }

local json = require "core.json"
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

local function read_local(step, name)
  local v = step.state.locals[name]
  if type(v) == "table" and not step.writable then return json.view(v) end
  return v
end

local function write_local(step, name, value)
  if type(name) ~= "string" then
    error(("a local's name is a string, not a %s"):format(type(name)), 3)
  end
  if not step.writable then
    error(("thred.%s can't be written here: locals are written in on_true, on_publish and on_upgrade"):format(name), 3)
  end
  if type(value) == "table" or type(value) == "userdata" then
    local ok, copied = pcall(json.copy, value)
    if not ok then error(("thred.%s: %s"):format(name, tostring(copied)), 3) end
    value = copied
  elseif type(value) == "function" or type(value) == "thread" then
    error(("thred.%s: a %s can't be kept in a local; locals are JSON values"):format(name, type(value)), 3)
  end
  step.state.locals[name] = value
end

---The value that scripts get as `thred`: its keys are the locals.
---@param step table a step with `state` and `writable`
function thred.face(step)
  return setmetatable({}, {
    __index = function(_, name) return read_local(step, name) end,
    __newindex = function(_, name, value) write_local(step, name, value) end,
    __pairs = function() return pairs(json.view(step.state.locals)) end,
    __metatable = false,
  })
end

---Encodes the state. An error in a local names its path.
function thred.encode(state)
  local ok, bytes = pcall(json.encode, state)
  if ok then return bytes end
  local e = codes.of(bytes)
  e.message = e.message:gsub("%$%.locals%.", "thred.")
  error(e, 0)
end

return thred
