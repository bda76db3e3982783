-- SPDX-License-Identifier: MIT
-- The commit of a step, and what in memory follows it.

---@param step table
---@param changes table what the store makes durable
---@param after table
return function(engine, step, changes, after)
  if engine.watched then -- a step held until it is durable costs: only while somebody looks
    after.step = { thred = step.id, pattern = step.pattern.id, version = step.pattern.version, log = step.trail }
  end
  if step.log then after.lines = { step.log, pattern = step.pattern.id, reaction = step.trail[1].from, thred_id = step.id } end
  after.notes = step.notes
  step.handle:commit(changes, after)
  engine.offers:moved(step)
end
