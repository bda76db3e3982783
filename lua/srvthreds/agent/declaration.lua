-- SPDX-License-Identifier: MIT
-- What an agent's file returned, as the runner may read it. The table is the script's: it may change later, and reading it
-- could run its metamethods outside any limit. So it is read raw, once.

local durations = require "srvthreds.durations"

local declaration = {}

local SHORTEST, LONGEST = 10, 366 * 86400000 -- ms between two calls of `every`

local function raw(t, key, want)
  local value = rawget(t, key)
  return type(value) == want and value or nil
end

local function limits_of(t)
  return t and { cpu = raw(t, "cpu", "number"), wall = raw(t, "wall", "number"), memory = raw(t, "memory", "number") }
end

local function tasks_of(t)
  local tasks = {}
  for name, fn in next, t or {} do
    if type(name) == "string" and type(fn) == "function" then tasks[name] = fn end
  end
  return tasks
end

local function interval(v)
  local ms = (type(v) == "string" or type(v) == "number") and durations.parse(v)
  return ms and ms >= SHORTEST and ms <= LONGEST and ms or nil
end

-- nil and what is wrong, or { ms, fn, first = ms }
local function every_of(t)
  if not t then return nil end
  local ms, first = interval(rawget(t, 1)), rawget(t, "first")
  if not ms or first ~= nil and not interval(first) then return nil, "every: an interval is from 10ms to 366d" end
  return { ms, raw(t, 2, "function"), first = first and interval(first) }
end

---@param value any
---@return table? declaration { type, address?, name?, tasks, on_event?, every?, limits? }
---@return string? wrong
function declaration.read(value)
  local kind = type(value) == "table" and raw(value, "type", "string")
  if not kind then return nil, "an agent's file returns agent.agent \"TYPE\" { … }" end
  local every, wrong = every_of(raw(value, "every", "table"))
  if wrong then return nil, wrong end
  return { type = kind, address = raw(value, "address", "string"), name = raw(value, "name", "string"),
    tasks = tasks_of(raw(value, "tasks", "table")), on_event = raw(value, "on_event", "function"), every = every,
    limits = limits_of(raw(value, "limits", "table")) }
end

return declaration
