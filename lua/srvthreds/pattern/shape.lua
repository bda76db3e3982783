-- SPDX-License-Identifier: MIT
-- The shape of a condition tree: kinds and operand counts. A live thred moves to a new version of its pattern when its
-- reaction kept its shape, because what it remembers of an `all` is remembered by position.
local shape = {}

local WORDS = { ["and"] = "all", ["or"] = "any" } -- the model's, and those of a pattern's file

local function text_of(condition, leaf)
  if condition.kind == "filter" then return leaf(condition) end
  local parts = {}
  for i, operand in ipairs(condition.operands) do parts[i] = text_of(operand, leaf) end
  return ("%s(%s)"):format(WORDS[condition.kind], table.concat(parts, ", "))
end

---@param condition table in the model's form
---@return string "any(filter, all(filter, filter))"; p.where is a filter as well
function shape.of(condition)
  return text_of(condition, function() return "filter" end)
end

---The same for people, in the words of the file.
---@param condition table
---@return string "any(where, all(where, filter))"
function shape.shown(condition)
  return text_of(condition, function(c) return c.where and "where" or "filter" end)
end

---Can a thred that waits in the reaction `from` go on in `to`, which has its name in another version?
---@param from table reaction
---@param to table? reaction; nil when it is gone
---@return boolean, string? why not, for people
function shape.same(from, to)
  if not to then return false, ('the reaction "%s" is gone'):format(from.name) end
  if from.shape == to.shape then return true end
  return false, ('the condition of "%s" was %s and is %s'):format(from.name, from.shape, to.shape)
end

return shape
