-- SPDX-License-Identifier: MIT
-- Who exists: participants with their roles, groups, services with their addresses; and who is connected now.
-- Participants, groups and roles come from the profile and lie in the store; services register when they start.

local json = require "core.json"

local directory = {}
directory.__index = directory

---@param facts table? { participants = {id = {roles = {...}}}, groups = {name = {ids}} }
function directory.new(facts)
  local self = setmetatable({ services = {}, addresses = {}, sessions = {} }, directory)
  self:set(facts or {})
  return self
end

local function set_of(list)
  local set = {}
  for _, v in ipairs(list or {}) do set[v] = true end
  return set
end

function directory:set(facts)
  self.participants, self.groups, self.members = {}, {}, {}
  for id, p in pairs(facts.participants or {}) do self.participants[id] = { roles = set_of(p.roles) } end
  for name, ids in pairs(facts.groups or {}) do
    self.groups[name], self.members[name] = ids, set_of(ids)
    for _, id in ipairs(ids) do
      self.participants[id] = self.participants[id] or { roles = {} }
    end
  end
end

---Reads what bootstrap stored.
function directory:load(store)
  local bytes = store:meta "directory"
  if bytes then self:set(json.decode(bytes)) end
end

function directory.save(store, facts)
  store:meta("directory", json.encode(facts))
end

function directory:is_participant(id) return self.participants[id] ~= nil end

function directory:group(name) return self.groups[name] end

function directory:is_member(group, id)
  local m = self.members[group]
  return m ~= nil and m[id] == true
end

function directory:has_role(id, role)
  local p = self.participants[id]
  return p ~= nil and p.roles[role] == true
end

---A service is reached under its node id, its type (any one of that type) and its own address.
---@param service table { id, type, address? }
function directory:register(service)
  for _, name in ipairs { service.id, service.type, service.address } do
    self.services[name] = self.services[name] or service.id
  end
  if service.address then self:alias(service.address, service.id) end
end

---Another address for a service that is registered.
---@param target string its id, type or an address of it
---@return boolean whether there is such a service
function directory:alias(address, target)
  local id = self.services[target]
  if not id then return false end
  self.services[address] = self.services[address] or id
  self.addresses[id] = self.addresses[id] or {}
  self.addresses[id][address] = true
  return true
end

---Is this an address of the service of this id, so that who names it means that service?
function directory:is_service(address, id)
  local own = self.addresses[id]
  return own ~= nil and own[address] == true
end

---@return string|nil the queue topic of the service that answers to this address
function directory:service(address) return self.services[address] end

---Sessions tell who is connected; a participant may have several.
function directory:connect(id, by)
  self.sessions[id] = (self.sessions[id] or 0) + by
  if self.sessions[id] <= 0 then self.sessions[id] = nil end
end

function directory:connected()
  local list = {}
  for id in pairs(self.sessions) do list[#list + 1] = id end
  table.sort(list)
  return list
end

return directory
