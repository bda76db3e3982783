-- SPDX-License-Identifier: MIT
-- Matching a condition tree against an event. Nothing is changed here: what an `and` would remember and which on_true
-- functions would run come back as a result, for the step to carry out.

local script = require "core.script"
local where = require "srvthreds.pattern.where"

local condition = {}

local NONE = {} -- never written

local match

local function match_filter(c, step)
  if c.where and not where.match(c.where, step.event) then return false end
  if not c.test then return true end
  local v = step:call(c, c.test)
  if v ~= nil and type(v) ~= "boolean" then
    step:fail(c, ("a filter returns true or false, this one returned a %s"):format(type(v)))
  end
  return v == true
end

local function add_on_true(c, m)
  if not c.on_true then return end
  if m.on_true == NONE then m.on_true = {} end
  m.on_true[#m.on_true + 1] = c
end

-- The sets are made when something is put into them: most events touch none.
local function mark(m, set, path)
  if m[set] == NONE then m[set] = {} end
  m[set][path] = true
end

-- Per directive, the deepest that has it counts.
local DIRECTIVES = { "transform", "publish", "transition", "spawn" }

local function overlay(outer, inner)
  if not (outer.transform or outer.publish or outer.transition or outer.spawn) then return inner end
  local d = {}
  for _, k in ipairs(DIRECTIVES) do d[k] = inner[k] or outer[k] end
  return d
end

local function match_or(c, m)
  for _, operand in ipairs(c.operands) do
    local matched, directives = match(operand, m)
    if matched then
      add_on_true(c, m)
      return true, overlay(c, directives)
    end
    if m.partial[operand.path] then mark(m, "partial", c.path) end
  end
  return false
end

-- Not its own path: that is its parent's to remember.
local function forget_below(c, m)
  for _, operand in ipairs(c.operands or {}) do
    mark(m, "forget", operand.path)
    forget_below(operand, m)
  end
end

-- Every operand once, not necessarily on the same event. Under test any operand will do.
local function match_and(c, m)
  local all, any = true, false
  for _, operand in ipairs(c.operands) do
    if m.memory[operand.path] then goto continue end
    if match(operand, m) then
      mark(m, "remember", operand.path)
      any = true
    else
      all = false
      any = any or m.partial[operand.path] or false
    end
    ::continue::
  end
  if all then
    forget_below(c, m)
    add_on_true(c, m)
    return true, c
  end
  if any then mark(m, "partial", c.path) end
  return false
end

function match(c, m)
  if c.kind == "filter" then
    if not match_filter(c, m.step) then return false end
    add_on_true(c, m)
    return true, c
  end
  if c.kind == "or" then return match_or(c, m) end
  return match_and(c, m)
end

---@class MatchResult
---@field outcome "matched"|"partial"|"not_matched"
---@field on_true table conditions whose on_true runs, operands before parents
---@field directives table? transform, publish, transition, spawn
---@field remember table<string, boolean> paths of operands that matched now
---@field forget table<string, boolean> paths under a completed `and`

---What does not match, without looking.
condition.nothing = { outcome = "not_matched", on_true = NONE, remember = NONE, forget = NONE }

-- The result of a reaction that is one filter: always the same.
local whole = script.weak("k", { __index = function(t, c)
  local result = { outcome = "matched", on_true = c.on_true and { c } or NONE, remember = NONE, forget = NONE, directives = c }
  t[c] = result
  return result
end })

---@param c table condition
---@param step table its event, its memory of what matched before, its call and fail
---@return MatchResult not to be changed
function condition.match(c, step)
  if c.kind == "filter" then return match_filter(c, step) and whole[c] or condition.nothing end
  local m = { step = step, memory = step.state.memory, on_true = NONE, remember = NONE, forget = NONE, partial = NONE,
    outcome = nil, directives = nil }
  local matched, directives = match(c, m)
  m.outcome = matched and "matched" or m.partial[c.path] and "partial" or "not_matched"
  m.directives = directives
  return m
end

return condition
