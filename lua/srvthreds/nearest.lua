-- SPDX-License-Identifier: MIT
-- The name that was probably meant.

local nearest = {}

-- Edits from a to b: insert, delete, replace, swap of neighbours. Rows are kept two back, for the swap.
local function distance(a, b)
  local before, row = {}, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local next_row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local best = math.min(row[j] + 1, next_row[j - 1] + 1, row[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      next_row[j] = best
    end
    before, row = row, next_row
  end
  return row[#b]
end

---@param name string what was said
---@param known string[] what there is
---@return string? name near enough to be worth asking, the first of equals
function nearest.of(name, known)
  local best, best_distance
  local wanted = name:lower()
  for _, candidate in ipairs(known) do
    local other = candidate:lower()
    local d = distance(wanted, other)
    if #wanted >= 3 and (other:find(wanted, 1, true) == 1 or other:match("[%.%-_]([%w_]+)$") == wanted) then
      d = math.min(d, 1)
    end
    if d <= math.max(1, #name // 3) and (not best or d < best_distance) then best, best_distance = candidate, d end
  end
  return best
end

return nearest
