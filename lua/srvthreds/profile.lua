-- SPDX-License-Identifier: MIT
-- A profile: who takes part, which patterns and agents run. run-profiles/NAME/profile.lua, or the run-config/*.json
-- files of the original, or both (profile.lua wins).
--
--   return { patterns = { "contact" }, participants = { ann = { roles = { "admin" } } }, groups = { group0 = { "ann"
-- } },
--            agents = { robot = { id = "org.wt.robot1", config = { … } } }, addresses = { robot0 = "org.wt.robot1" },
--            docdb = { indexes = { cars = { "owner" } } }, setup = function(db) db:run { … } end }
--
-- `patterns`: names of files in the profile's patterns/ or in the shipped ones; without it, all of its patterns/.
-- `agents`: the key is the file's name in the profile's agents/ or in the shipped ones.

local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local check = require "srvthreds.profile.check"
local expand = require "srvthreds.profile.expand"
local names = require "srvthreds.pattern.names"
local run_config = require "srvthreds.profile.run_config"

local profile = {}

---@class srvthreds.PatternFolder
---@field path string
---@field only table<string, boolean>? names of the files that count; all if it is nil

---@class srvthreds.ProfileAgent
---@field id string node id
---@field file string? path of its Lua file; nil: remote, or not part of this program
---@field config table
---@field type string? node type, where the configuration names it
---@field remote boolean?

---@class srvthreds.Profile
---@field name string
---@field given string the name or path it was found by
---@field path string its folder
---@field hash string over everything that it says, its patterns included
---@field participants table<string, { roles: string[], password_file: string? }>
---@field groups table<string, string[]>
---@field agents table<string, srvthreds.ProfileAgent>
---@field addresses table<string, string>
---@field pattern_folders srvthreds.PatternFolder[]
---@field agent_folders string[] where files of agents are looked for, in this order
---@field warnings string[]
---@field indexes table<string, string[]> fields of collections that are looked for
---@field setup function?

local function is(path, kind)
  local st = runtime.stat(path)
  return st ~= nil and st.type == kind
end

local function is_profile(path)
  return is(path .. "/profile.lua", "file") or is(path .. "/run-config", "directory")
end

---@param options table { folders = list, shipped = where the program's own files lie }
local function folders_of(options)
  local list = {}
  for i, folder in ipairs(options.folders or { "./run-profiles" }) do list[i] = folder end
  local own = options.shipped and options.shipped .. "/run-profiles"
  if own and list[#list] ~= own then list[#list + 1] = own end
  return list
end

---Names of all profiles, in order.
---@return string[]
function profile.list(options)
  local seen, list = {}, {}
  for _, folder in ipairs(folders_of(options)) do
    for _, name in ipairs(runtime.list(folder) or {}) do
      if not seen[name] and is_profile(folder .. "/" .. name) then
        seen[name] = true
        list[#list + 1] = name
      end
    end
  end
  table.sort(list)
  return list
end

local function find(name, options)
  if name:find("/", 1, true) and is_profile(name) then return name end
  for _, folder in ipairs(folders_of(options)) do
    local path = folder .. "/" .. name
    if name ~= "" and is_profile(path) then return path end
  end
  local known = profile.list(options)
  local near = names.nearest(name, known)
  error(codes.error(codes.not_found, ("there is no profile %q in %s%s; profiles: %s"):format(name,
    table.concat(folders_of(options), ", "), near and (" (did you mean %s?)"):format(near) or "",
    #known > 0 and table.concat(known, ", ") or "none")), 0)
end

-- A profile is the operator's own file: it may read the environment, but it only describes.
local function environment()
  return {
    pairs = pairs, ipairs = ipairs, type = type, tostring = tostring, tonumber = tonumber, select = select,
    error = error, assert = assert, pcall = pcall, next = next, string = string, table = table, math = math, utf8 = utf8,
    os = { getenv = os.getenv, time = os.time, date = os.date },
  }
end

local function run(path, source)
  local fn, e = load(source, "@" .. path, "t", environment())
  if not fn then return nil, e end
  local ok, value = pcall(fn)
  if not ok then return nil, tostring(value) end
  if type(value) ~= "table" then
    return nil, ("%s: a profile returns a table, { participants = … }, not a %s"):format(path, type(value))
  end
  return value
end

local function fail(name, problems)
  local text = table.concat(problems, "\n")
  error(codes.error(codes.argument, ("the profile %s can't be used:\n%s"):format(name, text)), 0)
end

-- Shipped files lie beside the program's lua folder; a profile's own come first.
local function in_folders(folders, name)
  for _, folder in ipairs(folders) do
    if is(folder .. "/" .. name, "file") then return folder, folder .. "/" .. name end
  end
end

local function beside(self, options, kind)
  local list = { self.path .. "/" .. kind }
  for _, folder in ipairs(options[kind] or {}) do list[#list + 1] = folder end
  if options.shipped then list[#list + 1] = options.shipped .. "/" .. kind end
  return list
end

local function find_agents(self, options, report)
  self.agent_folders = beside(self, options, "agents")
  for name, agent in pairs(self.agents) do
    local _, file = in_folders(self.agent_folders, name .. ".lua")
    agent.file = file
    if not file and not agent.remote then
      local text = ("there is no file %s.lua in %s"):format(name, table.concat(self.agent_folders, ", "))
      if agent.foreign then
        self.warnings[#self.warnings + 1] = text
      else
        report("agents." .. name, text)
      end
    end
  end
end

-- Names become folders, each with the files that count there.
local function find_patterns(self, listed, options, report)
  local folders = beside(self, { shipped = options.shipped }, "patterns")
  self.pattern_folders = {}
  if not listed then
    if is(folders[1], "directory") then self.pattern_folders[1] = { path = folders[1] } end
    return
  end
  local by_path = {}
  for i, name in ipairs(listed) do
    local folder = in_folders(folders, name:gsub("%.lua$", "") .. ".lua")
    if folder then
      if not by_path[folder] then
        by_path[folder] = { path = folder, only = {} }
        self.pattern_folders[#self.pattern_folders + 1] = by_path[folder]
      end
      by_path[folder].only[name:gsub("%.lua$", "") .. ".lua"] = true
    else
      local text = ("there is no pattern file %q in %s"):format(name, table.concat(folders, ", "))
      report(("patterns[%d]"):format(i), text)
    end
  end
end

local function sources_of(self)
  local list = {}
  local function add(folder, only)
    for _, name in ipairs(runtime.list(folder) or {}) do
      local path = folder .. "/" .. name
      if name:match "^[^.].*%.lua$" and (not only or only[name]) then
        list[#list + 1] = name .. "\0" .. (runtime.read_file(path) or "")
      end
    end
  end
  for _, folder in ipairs(self.pattern_folders) do
    add(folder.path, folder.only)
    add(folder.path .. "/lib")
  end
  return list
end

-- Covers what was written, not what it evaluates to: a setup function counts too.
local function hash_of(self, written)
  local parts = { self.name }
  table.move(written, 1, #written, 2, parts)
  for _, source in ipairs(sources_of(self)) do parts[#parts + 1] = source end
  for i, part in ipairs(parts) do parts[i] = #part .. ":" .. part end
  return runtime.sha256(table.concat(parts))
end

---Finds, reads and checks a profile. Raises with every mistake in one message.
---@param name string its name, or the path of its folder
---@param options { folders: string[]?, shipped: string?, agents: string[]? }? folders: where profiles are looked for, default
---  ./run-profiles; shipped: the folder of the program's own run-profiles/, agents/ and patterns/; agents: folders more
---@return srvthreds.Profile
function profile.load(name, options)
  options = options or {}
  local path = find(name, options)
  local self = { name = path:match "([^/]+)/*$", given = name, path = path, warnings = {} }
  local problems, written = {}, {}
  local facts = run_config.read(path, problems, written)
  local file = path .. "/profile.lua"
  local source = runtime.read_file(file)
  local value = {}
  if source then
    local e
    written[#written + 1] = source
    value, e = run(file, source)
    if not value then fail(name, { e }) end
    value = expand(value)
  end
  local report = check.reporter(file, source or "", problems)
  check.profile(value, report, facts.participants)
  if #problems > 0 then fail(name, problems) end
  check.merge(self, facts, value)
  find_agents(self, options, report)
  find_patterns(self, value.patterns, options, report)
  if #problems > 0 then fail(name, problems) end
  self.setup, self.indexes = value.setup, value.docdb and value.docdb.indexes or {}
  self.hash = hash_of(self, written)
  return self
end

---What the directory keeps of it.
---@param self srvthreds.Profile
function profile.facts(self)
  local participants = {}
  for id, p in pairs(self.participants) do participants[id] = { roles = p.roles } end
  return { participants = participants, groups = self.groups }
end

return profile
