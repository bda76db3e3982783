-- SPDX-License-Identifier: MIT
-- Events as scripts and the engine see them: read-only documents over their bytes; and the events that we emit.

local json = require "core.json"

local event = {}

local methods = {}

---The first value under that name at any depth of the event's values; nil for null.
function methods.value(self, name)
  local values = self.values
  if values == nil then return nil end
  local v = json.value_named(values, name)
  if v == json.null then return nil end
  return v
end

---Is this event the answer to the one that the thred published under that name?
function methods.is_response_for(self, name)
  local step = json.context(self)
  local re = self.re
  return re ~= nil and step ~= nil and step.state ~= nil and step.state.published[name] == re
end

event.class = json.doc_class {
  methods = methods,
  paths = {
    content = { "data", "content" },
    values = { "data", "content", "values" },
    advice = { "data", "advice" },
  },
}

---@param bytes string canonical JSON
function event.doc(bytes)
  return json.doc(bytes, event.class)
end

local SYSTEM = { id = "SYSTEM", name = "Workthreds Bot" }

---An event from the engine. `fields` has id, time, data and, where they apply, thredId, re, causedBy, type.
function event.outgoing(fields)
  fields.type = fields.type or "org.wt.tell"
  fields.source = SYSTEM
  return fields
end

---What the sender of a failed event is told.
function event.failure(id, time, event_id, thred_id, err)
  return event.outgoing {
    id = id, time = time, re = event_id, thredId = thred_id, causedBy = event_id,
    data = {
      title = ("Failure processing Event %s : %s"):format(event_id, err.message),
      content = { error = { message = err.message, code = err.code, cause = err.cause ~= "" and err.cause or nil } },
    },
  }
end

return event
