-- SPDX-License-Identifier: MIT
-- What every thred can do: relay a participant's broadcast, echo a participant's answer (model §5).

local json = require "core.json"
local codes = require "srvthreds.engine.codes"
local events = require "srvthreds.engine.event"
local threds = require "srvthreds.engine.thred"

local builtin = {}

-- To the thred's people without the sender.
local function others(step)
  local to = step.engine.resolve(step, "$thred", "relay")
  local people = {}
  for _, id in ipairs(to.people) do
    if id ~= step.source then people[#people + 1] = id end
  end
  to.people = people
  return to
end

local function send(step, title, values_type, values)
  local to = others(step)
  if #to.people == 0 then return end
  local event = events.outgoing {
    id = step:next_id(), type = "org.wt.broadcast", time = step.now, thredId = step.id, causedBy = step.event.id,
    data = { title = title, content = { valuesType = values_type, values = values } },
  }
  step:emit(event.id, json.encode(event), to)
end

-- The values of the event, as one object, with who sent them.
local function values_of(step)
  local v = step.event.values
  local kind, values = json.kind(v), {}
  for _, item in ipairs(kind == "array" and json.copy(v) or kind == "object" and { json.copy(v) } or {}) do
    if json.kind(item) == "object" then
      for k, x in pairs(item) do values[k] = x end
    end
  end
  values.messageSource = json.copy(step.event.source)
  return values
end

---Relays org.wt.client.broadcast; the thred does not move.
function builtin.broadcast(step)
  if not step.pattern.broadcast_allowed then
    step:fail("broadcast", "this pattern allows no broadcasts (broadcast_allowed)", { code = codes.unauthorized })
  end
  if not threds.takes_part(step.state, step.source) then
    step:fail("broadcast", ("%s does not take part in this thred"):format(step.source), { code = codes.unauthorized })
  end
  if step.event:value "message" == nil then
    step:fail("broadcast", "a broadcast needs a value named message", { code = codes.missing })
  end
  send(step, "Message from " .. step.source, "broadcastMessage", values_of(step))
  step:write_log("relayed", step.state.reaction, step.state.reaction)
end

function builtin.echo(step)
  local values = values_of(step)
  values.re = step.event.re
  send(step, "Action by " .. step.source, "broadcastValues", values)
end

return builtin
