-- SPDX-License-Identifier: MIT
-- Is a profile's table what it should be? Every mistake is reported with file, line, key and the nearest known name.

local names = require "srvthreds.pattern.names"
local documents = require "srvthreds.profile.documents"

local check = {}

local KEYS = { "addresses", "agents", "docdb", "groups", "participants", "patterns", "setup" }
local PARTICIPANT_KEYS = { "password_file", "roles" }
local AGENT_KEYS = { "config", "id" }

-- The line where the key is first written, or nil.
local function line_of(source, key)
  if key == "" then return nil end
  local is_word = key:match "^[%w_]+$"
  local n = 0
  for line in (source .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if line:find(is_word and "%f[%w_]" .. key .. "%f[^%w_]" or key, 1, not is_word) then return n end
  end
end

---@return fun(key: string, message: string, near: string?) report key: the dotted path of what is wrong
function check.reporter(file, source, problems)
  return function(key, message, near)
    local line = line_of(source, key:match "([^.%[%]]+)%]?$" or key)
    problems[#problems + 1] = ("%s%s: %s: %s%s"):format(file, line and ":" .. line or "", key, message,
      near and (" (did you mean %s?)"):format(near) or "")
  end
end

local function known_keys(t, known, path, report)
  for _, key in ipairs(names.sorted(t)) do
    local found = false
    for _, k in ipairs(known) do found = found or k == key end
    if not found then
      local near = names.nearest(key, known)
      report(path .. key, "unknown key", near)
      if not near then report(path .. key, "keys here are " .. names.join(known, "and")) end
    end
  end
  for key in pairs(t) do
    if type(key) ~= "string" then report(path .. tostring(key), ("a key is a name, not a %s"):format(type(key))) end
  end
end

local function table_at(t, key, report, example)
  local v = t[key]
  if v == nil then return {} end
  if type(v) == "table" then return v end
  report(key, ("a table is expected, as in %s; this is a %s"):format(example, type(v)))
  return {}
end

-- A list of strings; what is wrong is reported.
local function strings(v, path, report)
  if type(v) ~= "table" then
    report(path, ("a list of names is expected, this is a %s"):format(type(v)))
    return {}
  end
  local count = 0
  for _ in pairs(v) do count = count + 1 end
  if count ~= #v then report(path, 'a list is expected, as in { "a", "b" }, without keys and holes') end
  local list = {}
  for i, item in ipairs(v) do
    if type(item) == "string" and item ~= "" then
      list[#list + 1] = item
    else
      local what = item == "" and "an empty text" or "a " .. type(item)
      report(("%s[%d]"):format(path, i), "a name is expected, this is " .. what)
    end
  end
  return list
end

local function check_participants(value, report)
  local participants = table_at(value, "participants", report, 'participants = { ann = { roles = { "admin" } } }')
  for _, id in ipairs(names.sorted(participants)) do
    local p, path = participants[id], "participants." .. id
    if id:sub(1, 1) == "$" or id == "SYSTEM" then report(path, "this name is the system's own") end
    if type(p) ~= "table" then
      report(path, ('a table is expected, as in %s = { roles = { "admin" } }; this is a %s'):format(id, type(p)))
    else
      known_keys(p, PARTICIPANT_KEYS, path .. ".", report)
      if p.roles ~= nil then strings(p.roles, path .. ".roles", report) end
      if p.password_file ~= nil and type(p.password_file) ~= "string" then
        report(path .. ".password_file", "a path is expected")
      end
    end
  end
  for key in pairs(participants) do
    if type(key) ~= "string" then
      report("participants", "participants are named by their keys, as in participants = { ann = {} }")
      break
    end
  end
  return participants
end

local function check_groups(value, participants, report)
  local groups = table_at(value, "groups", report, 'groups = { group0 = { "ann", "bob" } }')
  local known = names.sorted(participants)
  for _, name in ipairs(names.sorted(groups)) do
    local path = "groups." .. name
    if name:sub(1, 1) == "$" then report(path, ("a group's name has no $ here: %s"):format(name:sub(2))) end
    for _, id in ipairs(strings(groups[name], path, report)) do
      if not participants[id] then
        report(path .. "." .. id, "there is no such participant", names.nearest(id, known))
      end
    end
  end
end

local function check_agents(value, report)
  local agents = table_at(value, "agents", report, 'agents = { robot = { id = "org.wt.robot1" } }')
  local by_id = {}
  for _, name in ipairs(names.sorted(agents)) do
    local agent, path = agents[name], "agents." .. name
    if type(agent) ~= "table" then
      local example = ('%s = { id = "org.wt.%s1" }'):format(name, name)
      report(path, ("a table is expected, as in %s; this is a %s"):format(example, type(agent)))
    else
      known_keys(agent, AGENT_KEYS, path .. ".", report)
      if type(agent.id) ~= "string" or agent.id == "" then
        report(path, ('its id is missing, as in id = "org.wt.%s1"'):format(name))
      elseif by_id[agent.id] then
        report(path .. ".id", ("%s has the id %s already"):format(by_id[agent.id], agent.id))
      else
        by_id[agent.id] = name
      end
      if agent.config ~= nil and type(agent.config) ~= "table" then report(path .. ".config", "a table is expected") end
    end
  end
end

local function check_addresses(value, report)
  local addresses = table_at(value, "addresses", report, 'addresses = { robot0 = "org.wt.robot1" }')
  for _, address in ipairs(names.sorted(addresses)) do
    if type(addresses[address]) ~= "string" then
      report("addresses." .. address, "the id or type of an agent is expected, a text")
    end
  end
end

local function over(base, more)
  local t = {}
  for k, v in pairs(base or {}) do t[k] = v end
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

---Reports what is wrong with the table that profile.lua returned.
---@param elsewhere table<string, table> participants that the JSON files name
function check.profile(value, report, elsewhere)
  known_keys(value, KEYS, "", report)
  check_groups(value, over(elsewhere, check_participants(value, report)), report)
  check_agents(value, report)
  check_addresses(value, report)
  documents.check(value.docdb, report, known_keys, strings)
  if value.patterns ~= nil then strings(value.patterns, "patterns", report) end
  if value.setup ~= nil and type(value.setup) ~= "function" then
    report("setup", "a function is expected: setup = function(db) … end")
  end
end

---Puts what the JSON files and profile.lua say into one.
function check.merge(self, facts, value)
  self.participants, self.agents = {}, {}
  for id, p in pairs(over(facts.participants, value.participants)) do
    self.participants[id] = { roles = p.roles or {}, password_file = p.password_file }
  end
  self.groups = over(facts.groups, value.groups)
  for name, agent in pairs(over(facts.agents, value.agents)) do
    self.agents[name] = {
      id = agent.id, config = agent.config or {}, type = agent.type, remote = agent.remote, hidden = agent.hidden,
      foreign = agent.foreign,
    }
  end
  self.addresses = over(facts.addresses, value.addresses)
end

return check
