-- SPDX-License-Identifier: MIT
-- The name that was probably meant.

local nearest = {}

---Edits from a to b: insert, delete, replace, swap of neighbours.
---@param a string
---@param b string
---@return integer
function nearest.distance(a, b)
  local before, last, row = {}, {}, {} -- two rows back, for the swap
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      row[j] = best
    end
    before, last, row = last, row, before
  end
  return last[#b]
end

---@param name string what was said
---@param known string[] what there is
---@return string? name near enough to be worth asking, the first of equals
function nearest.of(name, known)
  local best, best_distance
  local wanted = name:lower()
  for _, candidate in ipairs(known) do
    local other = candidate:lower()
    local d = nearest.distance(wanted, other)
    if #wanted >= 3 and (other:find(wanted, 1, true) == 1 or other:match("[%.%-_]([%w_]+)$") == wanted) then
      d = math.min(d, 1)
    end
    if d <= math.max(1, #name // 3) and (not best or d < best_distance) then best, best_distance = candidate, d end
  end
  return best
end

return nearest
