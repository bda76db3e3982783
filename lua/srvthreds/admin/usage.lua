-- SPDX-License-Identifier: MIT
-- What scripts have used since the start, by pattern and reaction: CPU and wall time, bytes, and what went over a limit.

local json = require "core.json"
local script = require "core.script"

local usage = {}

local function tenths(ms) return (ms * 10 + 0.5) // 1 / 10 end

local function row(account)
  local over = 0
  for _, n in pairs(account.exceeded) do over = over + n end
  return {
    pattern = account.pattern, reaction = account.reaction, calls = account.calls, cpu_ms = tenths(account.cpu),
    wall_ms = tenths(account.wall), bytes = account.bytes, peak_bytes = account.peak, exceeded = over,
  }
end

---@param pattern string? nil: of all patterns and agents
---@return table[] one for each reaction that ran
function usage.of(pattern)
  local list = {}
  for _, account in ipairs(script.accounts(pattern)) do
    if account.calls > 0 then list[#list + 1] = row(account) end
  end
  return json.array(list)
end

---The sum over the pattern's reactions; nil if none ran.
function usage.total(pattern)
  local sum
  for _, one in ipairs(usage.of(pattern)) do
    sum = sum or { calls = 0, cpu_ms = 0, wall_ms = 0, bytes = 0, peak_bytes = 0, exceeded = 0 }
    for key, value in pairs(sum) do
      sum[key] = key == "peak_bytes" and math.max(value, one[key]) or value + one[key]
    end
  end
  if sum then sum.cpu_ms, sum.wall_ms = tenths(sum.cpu_ms), tenths(sum.wall_ms) end
  return sum
end

return usage
