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

---Where nothing of the script was on the stack, as while its result is copied, the place is where its function begins.
---@param err table as core.script.call gives it; changed
---@param fn function the script's
function budget.place(err, fn)
  local info = not err.file and debug.getinfo(fn, "S")
  if not info or info.what == "C" then return end
  err.file, err.line = info.source:gsub("^@", ""), info.linedefined
  err.message = ("%s:%d: %s"):format(err.file, err.line, err.message)
end

return budget
