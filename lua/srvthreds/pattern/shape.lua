-- SPDX-License-Identifier: MIT
-- The shape of a condition tree: kinds and operand counts. A live thred moves to a new version of its pattern when its
-- reaction kept its shape, because what it remembers of an `and` is remembered by position.
local shape = {}

---@param condition table in the model's form
---@return string "or(filter,and(filter,filter))"
function shape.of(condition)
  if condition.kind == "filter" then return "filter" end
  local parts = {}
  for i, operand in ipairs(condition.operands) do parts[i] = shape.of(operand) end
  return ("%s(%s)"):format(condition.kind, table.concat(parts, ","))
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
