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

---Can a thred that waits in `reaction_name` of `from` go on in `to`?
---@param from table pattern
---@param to table pattern
---@return boolean, string? why not
function shape.same(from, to, reaction_name)
  local old, new = from.by_name[reaction_name], to.by_name[reaction_name]
  if not new then return false, ('the reaction "%s" is gone'):format(reaction_name) end
  local before, after = from.reactions[old].shape, to.reactions[new].shape
  if before == after then return true end
  return false, ('the condition of "%s" was %s and is %s'):format(reaction_name, before, after)
end

return shape
