-- SPDX-License-Identifier: MIT
-- Who may send what a reaction takes: allowed_sources and allowed_roles.
local regex = require "core.regex"
local script = require "core.script"

local sources = {}

---@class srvthreds.pattern.Lookups
---@field is_member fun(group: string, id: string): boolean group without its $
---@field is_service fun(address: string, id: string): boolean is the address that of the service of this id?
---@field has_role fun(id: string, role: string): boolean

-- One list of sources, sorted by kind: ids by name, groups, compiled regexes.
local function prepare(list)
  local ids, addresses, groups, regexes = {}, {}, {}, {}
  for _, source in ipairs(list) do
    local first, text = source:sub(1, 1), source:match("^/(.*)/$")
    if first == "$" then groups[#groups + 1] = source:sub(2)
    elseif text then regexes[#regexes + 1] = regex.compile(text, { caseless = true })
    else
      ids[source] = true
      addresses[#addresses + 1] = source
    end
  end
  return { ids = ids, addresses = addresses, groups = groups, regexes = regexes }
end

-- By the list itself, so that it is prepared once a load.
local prepared = script.weak "k"

local function source_allowed(list, id, lookups)
  local kinds = prepared[list]
  if not kinds then
    kinds = prepare(list)
    prepared[list] = kinds
  end
  if kinds.ids[id] then return true end
  for _, re in ipairs(kinds.regexes) do
    if re:search(id) then return true end
  end
  for _, group in ipairs(kinds.groups) do
    if lookups.is_member(group, id) then return true end
  end
  for _, address in ipairs(kinds.addresses) do
    if lookups.is_service(address, id) then return true end
  end
  return false
end

local function role_allowed(list, id, lookups)
  for _, role in ipairs(list) do
    if lookups.has_role(id, role) then return true end
  end
  return false
end

---May `id` send events to this reaction? Both must hold where both are given; of roles one is enough.
---@param reaction table in the model's form
---@param id string the event's source
---@param lookups srvthreds.pattern.Lookups
---@return boolean, string? why not, for people
function sources.allowed(reaction, id, lookups)
  if reaction.allowed_sources and not source_allowed(reaction.allowed_sources, id, lookups) then
    return false, ("the source %s is none of %s"):format(id, table.concat(reaction.allowed_sources, ", "))
  end
  if reaction.allowed_roles and not role_allowed(reaction.allowed_roles, id, lookups) then
    return false, ("the source %s has none of the roles %s"):format(id, table.concat(reaction.allowed_roles, ", "))
  end
  return true
end

return sources
