-- SPDX-License-Identifier: MIT
-- The commit of a step, and what in memory follows it.

-- Most steps change the same few things: they go without a table.
local function is_usual(step, delivery)
  return step.number > 1 and not step.messages and not step.dead and step.state.status ~= "terminated" and delivery
    and not delivery.tries
end

---@param step table
---@param outcome string
---@param delivery table?
---@param after table
---@param changes table? what the store makes durable, if it was asked for already
return function(engine, step, outcome, delivery, after, changes)
  if engine.watched then -- a step held until it is durable costs: only while somebody looks
    after.step = { thred = step.id, pattern = step.pattern.id, version = step.pattern.version, log = step.trail }
  end
  if step.log then after.lines = { step.log, pattern = step.pattern.id, reaction = step.trail[1].from, thred_id = step.id } end
  after.notes = step.notes
  if not changes and is_usual(step, delivery) then
    step:advance(outcome, delivery, after)
  else
    step.handle:commit(changes or step:changes(outcome, delivery), after)
  end
  engine.offers:moved(step)
end
