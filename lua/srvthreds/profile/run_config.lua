-- SPDX-License-Identifier: MIT
-- The original's run-config/*.json: sessions_model.json (groups and who is in them), resolver_config.json (agents),
-- and a file an agent. Keys that are not read here stay unread: these files say more than this program needs.

local json = require "core.json"
local runtime = require "core.runtime"
local expand = require "srvthreds.profile.expand"

local run_config = {}

local function read(folder, name, problems, written)
  local path = folder .. "/" .. name
  local bytes = runtime.read_file(path)
  if not bytes then return nil end
  local ok, value = pcall(json.decode, bytes)
  if not ok or type(value) ~= "table" then
    problems[#problems + 1] = ("%s: %s"):format(path, ok and "an object is expected" or tostring(value))
    return nil
  end
  written[#written + 1] = bytes
  return expand(value), path
end

local function each(value, path, key, problems, fn)
  local list = value[key]
  if list == nil then
    problems[#problems + 1] = ("%s: %s is missing"):format(path, key)
  elseif not json.is_array(list) then
    problems[#problems + 1] = ("%s: %s: a list is expected"):format(path, key)
  else
    for i, item in ipairs(list) do
      local where = ("%s: %s[%d]"):format(path, key, i - 1)
      if type(item) == "table" then
        fn(item, where)
      else
        problems[#problems + 1] = where .. ": an object is expected"
      end
    end
  end
end

-- The text under `key`, or nil after a report.
local function text(item, key, where, problems)
  local v = item[key]
  if type(v) == "string" and v ~= "" then return v end
  problems[#problems + 1] = ("%s.%s: a text is expected"):format(where, key)
end

local function sessions_model(folder, facts, problems, written)
  local value, path = read(folder, "sessions_model.json", problems, written)
  if not value then return end
  each(value, path, "groups", problems, function(group, where)
    local name, members = text(group, "name", where, problems), {}
    if not name then return end
    each(group, where, "participants", problems, function(p, place)
      local id = text(p, "participantId", place, problems)
      if not id then return end
      members[#members + 1] = id
      facts.participants[id] = facts.participants[id] or {}
    end)
    facts.groups[name] = members
  end)
end

local function true_or_nil(v) return v == true or nil end

local function resolver_config(folder, facts, problems, written)
  local value, path = read(folder, "resolver_config.json", problems, written)
  if not value then return end
  each(value, path, "agents", problems, function(agent, where)
    local id = text(agent, "nodeId", where, problems)
    if not id then return end
    local config_name = type(agent.configName) == "string" and agent.configName or nil
    local file = (config_name or id:match "[^.]+$"):gsub("_agent$", ""):gsub("_config$", "")
    local own = config_name and read(folder, config_name .. ".json", problems, written)
    local custom = own and own.customConfig
    local key = facts.agents[file] and id or file
    facts.agents[key] = {
      id = id, type = type(agent.nodeType) == "string" and agent.nodeType or nil, foreign = true,
      config = type(custom) == "table" and custom or {}, remote = true_or_nil(agent.remote),
      hidden = true_or_nil(agent.hidden),
    }
  end)
end

---@param path string the profile's folder
---@param problems string[] mistakes are added
---@param written string[] what was read is added
---@return { participants: table, groups: table, agents: table }
function run_config.read(path, problems, written)
  local facts = { participants = {}, groups = {}, agents = {} }
  sessions_model(path .. "/run-config", facts, problems, written)
  resolver_config(path .. "/run-config", facts, problems, written)
  return facts
end

return run_config
