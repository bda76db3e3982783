-- SPDX-License-Identifier: MIT
-- Matching a condition tree against an event. Nothing is changed here: what an `and` would remember and which on_true
-- functions would run come back as a result, for the step to carry out.

local where = require "srvthreds.pattern.where"

local condition = {}

local match

local function match_filter(c, m)
  if c.where and not where.match(c.where, m.event) then return false end
  if not c.test then return true end
  local v = m.call(c, c.test)
  if v ~= nil and type(v) ~= "boolean" then
    m.fail(c, ("a filter returns true or false, this one returned a %s"):format(type(v)))
  end
  return v == true
end

local function add_on_true(c, into)
  if c.on_true then into[#into + 1] = c end
end

-- Per directive, the deepest that has it counts.
local DIRECTIVES = { "transform", "publish", "transition", "spawn" }

local function overlay(outer, inner)
  local d = {}
  for _, k in ipairs(DIRECTIVES) do d[k] = inner[k] or outer[k] end
  return d
end

local function match_or(c, m)
  for _, operand in ipairs(c.operands) do
    local matched, directives = match(operand, m)
    if matched then
      add_on_true(c, m.on_true)
      return true, overlay(c, directives)
    end
    if m.partial[operand.path] then m.partial[c.path] = true end
  end
  return false
end

local function forget_below(c, m)
  m.forget[c.path] = true
  for _, operand in ipairs(c.operands or {}) do forget_below(operand, m) end
end

-- Every operand once, not necessarily on the same event. Under test any operand will do.
local function match_and(c, m)
  local all, any = true, false
  for _, operand in ipairs(c.operands) do
    if m.memory[operand.path] then goto continue end
    if match(operand, m) then
      m.remember[operand.path] = true
      any = true
    else
      all = false
      any = any or m.partial[operand.path] or false
    end
    ::continue::
  end
  if all then
    forget_below(c, m)
    add_on_true(c, m.on_true)
    return true, c
  end
  m.partial[c.path] = any or nil
  return false
end

function match(c, m)
  if c.kind == "filter" then
    if not match_filter(c, m) then return false end
    add_on_true(c, m.on_true)
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

---@param c table condition
---@param event any
---@param memory table<string, boolean> what matched before
---@param call function(c, fn) runs a script function
---@param fail function(c, message) raises the script's mistake
---@return MatchResult
function condition.match(c, event, memory, call, fail)
  local m = {
    event = event, memory = memory, call = call, fail = fail,
    on_true = {}, remember = {}, forget = {}, partial = {},
  }
  local matched, directives = match(c, m)
  m.outcome = matched and "matched" or m.partial[c.path] and "partial" or "not_matched"
  m.directives = directives
  return m
end

return condition
