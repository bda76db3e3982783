-- SPDX-License-Identifier: MIT
-- Counts scripts that were ended by their limits.

local metrics = require "core.metrics"

local budget = {}

local KINDS = { cpu = true, wall = true, memory = true, stack = true }

---Kinds that say how the machine was, not what the script did: another run need not end there.
budget.of_machine = { cpu = true, wall = true, memory = true, killed = true }

---To be told of every failed script; counts those that went over a limit.
---@param pattern string its id, or "agent ID"
---@param reaction string?
---@param kind string as core.script.call gives it
function budget.failed(pattern, reaction, kind)
  if not KINDS[kind] then return end
  metrics.counter("srvthreds_script_budget_exceeded_total", { pattern = pattern, reaction = reaction or "", kind = kind }):add()
end

return budget
