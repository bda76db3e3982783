-- SPDX-License-Identifier: MIT
-- The commit of a step, and what in memory follows it.

local logs = require "core.log"

local script_log = logs.logger { module = "pattern" }

---@param step table
---@param changes table what the store makes durable
---@param after table
return function(engine, step, changes, after)
  if engine.watched then -- a step held until it is durable costs: only while somebody looks
    after.step = { thred = step.id, pattern = step.pattern.id, version = step.pattern.version, log = step.trail }
  end
  step.handle:commit(changes, after)
  engine.offers:moved(step)
  for _, line in ipairs(step.log or {}) do
    script_log.info(tostring(line), { pattern = step.pattern.id, reaction = step.state.reaction, thred_id = step.id })
  end
end
