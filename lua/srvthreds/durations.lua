-- SPDX-License-Identifier: MIT
-- Durations as people write them: a number of ms, or "250ms" "30s" "5m" "2h" "7d".

local durations = {}

local UNITS = { [""] = 1, ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }

---@return integer|nil ms, or nil and what is wrong
function durations.parse(v)
  if math.type(v) == "integer" and v >= 0 then return v end
  if type(v) == "number" and v >= 0 and v < 1e15 then return math.tointeger((v + 0.5) // 1) end
  local n, unit = tostring(v):match "^(%d+%.?%d*)(%a*)$"
  if type(v) ~= "string" or not n or not UNITS[unit] then
    return nil, ("%s is no duration: a number of ms, or 250ms, 30s, 5m, 2h, 7d"):format(tostring(v))
  end
  return math.tointeger((tonumber(n) * UNITS[unit] + 0.5) // 1)
end

---The same; raises.
function durations.ms(v)
  local ms, e = durations.parse(v)
  return ms or error(e, 2)
end

return durations
