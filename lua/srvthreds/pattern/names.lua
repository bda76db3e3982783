-- SPDX-License-Identifier: MIT
-- The nearest known name, for messages.

local distance = require "srvthreds.nearest".distance

local names = {}

-- onTrue and on_true, allowed-sources and allowed_sources are the same word.
local function plain(name)
  return (name:gsub("(%l)(%u)", "%1_%2"):lower():gsub("[%s%-]", "_"))
end

---The known name that `name` most likely meant, or nil when none is near.
---@param name string
---@param known string[]
---@return string?
function names.nearest(name, known)
  if type(name) ~= "string" or #name > 80 then return nil end
  local wanted, best, best_distance = plain(name), nil, math.max(1, math.min(3, (#name + 1) // 3)) + 1
  for _, candidate in ipairs(known) do
    if #candidate <= 80 then
      local d = distance(wanted, plain(candidate))
      if d < best_distance then best, best_distance = candidate, d end
    end
  end
  return best
end

---The keys of a table in byte order.
---@param t table<string, any>
---@return string[]
function names.sorted(t)
  local list = {}
  for key in next, t do if type(key) == "string" then list[#list + 1] = key end end
  table.sort(list)
  return list
end

---"a, b or c".
---@param list string[]
---@param word string? default "or"
function names.join(list, word)
  if #list < 2 then return list[1] or "" end
  return table.concat(list, ", ", 1, #list - 1) .. " " .. (word or "or") .. " " .. list[#list]
end

return names
