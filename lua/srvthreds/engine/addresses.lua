-- SPDX-License-Identifier: MIT
-- From addressees to recipients. What was looked up is returned, so that it can be recorded with the step.

local json = require "core.json"
local limits = require "srvthreds.engine.limits"

local addresses = {}

local NONE = {} -- never written

-- A list that a script made has its positions and nothing else: what stands behind a hole must not be lost unheard.
local function check_positions(list, fail)
  if type(list) ~= "table" then return end
  local count, name = 0, nil
  for key in next, list do
    count = count + 1
    if type(key) == "string" and (not name or key < name) then name = key end
  end
  if name then fail(("a list of addressees has no names (%s)"):format(name)) end
  for i = 1, count do
    if list[i] == nil then fail(("the list of addressees has nothing at [%d]: leave out who is nil"):format(i)) end
  end
end

local function flatten(to, out, fail)
  if to == nil then return out end
  if type(to) == "string" then
    if #to > limits.address or not utf8.len(to) then
      fail(("an addressee is a text in UTF-8 of up to %d bytes"):format(limits.address))
    end
    out[#out + 1] = to
    if #out > limits.addressees then fail(("more than %d addressees; a group is one"):format(limits.addressees)) end
  elseif json.kind(to) == "array" or type(to) == "table" and next(to) == nil then
    check_positions(to, fail)
    for _, item in ipairs(to) do flatten(item, out, fail) end
  else
    fail(("an addressee is a string or a list of them, not %s %s"):format(json.kind(to) == "object" and "an" or "a",
      json.kind(to) or type(to)))
  end
  return out
end

addresses.flatten = flatten

local function add(list, seen, id)
  if seen[id] then return end
  seen[id] = true
  list[#list + 1] = id
end

-- One address: people and services are added to r.
local function add_address(r, seen, address, state, directory)
  if address == "$thred" then
    for _, id in ipairs(state.participants) do
      if not directory:service(id) then add(r.people, seen, id) end
    end
  elseif address == "$all" then
    for _, id in ipairs(directory:connected()) do add(r.people, seen, id) end
  elseif address:byte(1) == 36 then -- $
    for _, id in ipairs(directory:group(address:sub(2)) or {}) do add(r.people, seen, id) end
  else
    local service = directory:service(address)
    if service then
      add(r.services, seen, service)
    elseif directory:is_participant(address) then
      add(r.people, seen, address)
    else
      add(r.unknown, seen, address)
    end
  end
end

-- Recipients of one person, who is what most events have.
local SINGLES = 4096
local single, singles = {}, 0

local function one(to)
  local r = single[to]
  if not r then
    if singles == SINGLES then single, singles = {}, 0 end
    singles = singles + 1
    local list = { to } -- never written
    r = { to = list, people = list, services = NONE, unknown = NONE, rec = json.encode { to = list } }
    single[to] = r
  end
  return r
end

---@param to any string or nested lists of strings
---@param state table the thred's
---@param directory table who exists: is_participant, group, service, connected
---@param fail function(message)
---@return table { to = addresses as given, people = {ids}, services = {topics}, unknown = {addresses}, rec = JSON? }; not to be changed
function addresses.resolve(to, state, directory, fail)
  local r = { to = flatten(to, json.array {}, fail), people = json.array {}, services = json.array {}, unknown = {} }
  local seen = {}
  for _, address in ipairs(r.to) do add_address(r, seen, address, state, directory) end
  return r
end

---What a step asks: its engine's `resolve`. Running a recorded step again has one of its own, which answers from the record.
---@param step table
---@param kind "publish"|"relay"|"failure" what is to be sent
function addresses.of_step(step, to, kind) -- luacheck: no unused args
  local directory = step.engine.directory
  if type(to) == "string" and to:byte(1) ~= 36 and directory:is_participant(to) and not directory:service(to) then
    return one(to)
  end
  return addresses.resolve(to, step.state, directory, function(message) step:fail("publish.to", message) end)
end

return addresses
