-- SPDX-License-Identifier: MIT
-- "attempt to index a nil value (field 'souce')" names a field, not of what. What the event has under that name, and what
-- was probably meant, is said behind it.

local json = require "core.json"
local names = require "srvthreds.pattern.names"

local absent = {}

local MOST = 100 -- names that are looked at
local OURS = { "value", "is_response_for", "content", "values", "advice", "data", "source", "re", "thredId" }

local function add_names(list, doc)
  if json.kind(doc) ~= "object" then return end
  for name in pairs(doc) do
    if #list >= MOST then return end
    list[#list + 1] = name
  end
end

---@param message string of an error in a script
---@param event userdata? what the script was called with
---@return string message
function absent.explain(message, event)
  local name = event and message:match "a nil value %(%a+ '([%w_]+)'%)"
  if not name or event[name] ~= nil then return message end
  if event:value(name) ~= nil then
    return ('%s; the event has it among its values: event:value "%s"'):format(message, name)
  end
  local known = table.move(OURS, 1, #OURS, 1, {})
  add_names(known, event)
  add_names(known, event.values)
  local near = names.nearest(name, known)
  return ("%s; the event %s of type %s has no `%s`%s"):format(message, event.id, event.type, name,
    near and (", did you mean `%s`?"):format(near) or "")
end

return absent
