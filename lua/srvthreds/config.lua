-- SPDX-License-Identifier: MIT
-- The configuration of a process: flags > environment > project file (./srvthreds.lua, or --config FILE) > user file >
-- defaults. The keys stand in config_keys.lua.
local keys = require "srvthreds.config_keys"
local nearest = require "srvthreds.nearest"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local values = require "srvthreds.config_values"

---@class srvthreds.Config
---@field values table<string, any> what the program uses: key -> typed value
---@field sources table<string, string> key -> where it came from
---@field notes string[] what `config show` says besides
local config = {}

local by_key, names = {}, {}
for _, entry in ipairs(keys) do
  if entry.key then
    by_key[entry.key] = entry
    names[#names + 1] = entry.key
  end
end
config.by_key, config.names = by_key, names

---@return string flag of a key: session.http_port -> session-http-port
function config.flag_of(key)
  return (key:gsub("[._]", "-"))
end

---@return string name of a key in the environment
function config.environment_of(key)
  return "SRVTHREDS_" .. key:upper():gsub("%.", "_")
end

---@type table<string, srvthreds.ConfigKey>
config.by_flag = {}
local by_environment, environment_names = {}, {}
for _, key in ipairs(names) do
  config.by_flag[config.flag_of(key)] = by_key[key]
  by_environment[config.environment_of(key)] = by_key[key]
  environment_names[#environment_names + 1] = config.environment_of(key)
end

-- Used by the program's own tests and tools, or put there by an orchestrator for a service of our name.
local foreign = { "^SRVTHREDS_LUA$", "^SRVTHREDS_LOAD$", "^SRVTHREDS_LONG$", "^SRVTHREDS_FAIL", "^SRVTHREDS_FAULT",
  "^SRVTHREDS_SERVICE_", "^SRVTHREDS_PORT$", "^SRVTHREDS_PORT_%d" }

local function is_foreign(name)
  for _, pattern in ipairs(foreign) do
    if name:find(pattern) then return true end
  end
  return false
end

---The environment as a table; by default this process's.
---@return table<string, string>
function config.environment()
  local all = {}
  for name, value in (runtime.read_file("/proc/self/environ") or ""):gmatch("([^=%z]+)=([^%z]*)") do
    all[name] = value
  end
  return all
end

---`${VAR}` and `${VAR||default}`; an empty variable counts as unset.
---@param text string
---@param environment table<string, string>
function config.expand(text, environment)
  return (text:gsub("%${([%w_]+)(.-)}", function(name, rest)
    local value = environment[name]
    if value and value ~= "" then return value end
    return rest:match("^||(.*)$") or ""
  end))
end

---@param where string? for the message: the file with its line
local function set(into, entry, value, source, where)
  local parsed, what, near = values.parse(entry, value)
  if parsed == nil then
    local same_as_default = entry.later and not entry.only and (value == "" or value == nil)
    if same_as_default then return end
    local message = ("%s: %s: %s"):format(where or source, entry.key, what)
    problem.raise("bad_value", message, { nearest = near, hint = entry.help })
  end
  into.values[entry.key] = parsed
  into.sources[entry.key] = source
end

local function read_secret(name, path)
  local text, e = runtime.read_file(path)
  if not text then problem.raise("bad_value", ("%s: %s"):format(name, e)) end
  return (text:gsub("[\r\n]+$", ""))
end

-- Names of other deployments that choose a backend are only told of: an embedded system must start beside them.
local function take_alias(into, entry, environment)
  for _, name in ipairs(entry.alias or {}) do
    local value = environment[name]
    if value and value ~= "" then
      if entry.only then
        into.notes[#into.notes + 1] = ("%s is set, but %s"):format(name, entry.later)
      else
        set(into, entry, value, "environment " .. name)
      end
    end
  end
end

local function take_environment(into, environment)
  for _, key in ipairs(names) do
    local entry, name = by_key[key], config.environment_of(key)
    take_alias(into, entry, environment)
    local file = entry.secret and environment[name .. "_FILE"]
    if file and file ~= "" then set(into, entry, read_secret(name .. "_FILE", file), "file " .. file) end
    local value = environment[name]
    if value and value ~= "" then set(into, entry, value, "environment " .. name) end
  end
end

local function check_environment(environment)
  local unknown = {}
  for name in pairs(environment) do
    local base = name:match("^(SRVTHREDS_.+)_FILE$")
    local known = by_environment[name] or base and by_environment[base] and by_environment[base].secret
    if name:find("^SRVTHREDS_") and not known and not is_foreign(name) then unknown[#unknown + 1] = name end
  end
  table.sort(unknown)
  if unknown[1] then
    problem.raise("unknown_key", ("environment: %s is no key of the configuration"):format(unknown[1]),
      { nearest = nearest.of(unknown[1], environment_names), hint = "`srvthreds config show` lists the keys" })
  end
end

local function line_of(text, word)
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line:find("%f[%w_]" .. word .. "%f[^%w_]") then return number end
  end
end

-- A key may be written whole or as nested tables.
local function flatten(found, prefix, path, text)
  local flat = {}
  for name, value in pairs(found) do
    local key = type(name) == "string" and prefix .. name or prefix .. tostring(name)
    local word = tostring(name):match("[%w_]+$")
    if by_key[key] then
      flat[key] = { value = value, line = line_of(text, word) }
    elseif type(value) == "table" and #value == 0 and next(value) ~= nil then
      for k, v in pairs(flatten(value, key .. ".", path, text)) do flat[k] = v end
    else
      local line = line_of(text, word)
      local where = path .. (line and ":" .. line or "")
      problem.raise("unknown_key", ("%s: %s is no key of the configuration"):format(where, key),
        { nearest = nearest.of(key, names), hint = "`srvthreds config show` lists the keys" })
    end
  end
  return flat
end

local function expand_all(value, environment)
  if type(value) == "string" then return config.expand(value, environment) end
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = expand_all(v, environment) end
  return out
end

local function home_path(entry, value, home)
  local function one(path) return home and (path:gsub("^~/", home .. "/")) or path end
  if entry.type == "path" and type(value) == "string" then return one(value) end
  if entry.type ~= "paths" or type(value) ~= "table" then return value end
  local out = {}
  for i, path in ipairs(value) do out[i] = type(path) == "string" and one(path) or path end
  return out
end

local function take_file(into, path, environment, required)
  local text, e = runtime.read_file(path)
  if not text then
    if required then problem.raise("config_file", e) end
    return
  end
  local fn, syntax = load(text, "@" .. path, "t", {})
  if not fn then problem.raise("config_file", syntax) end
  local ok, found = pcall(fn)
  if not ok then problem.raise("config_file", tostring(found)) end
  if type(found) ~= "table" then
    local what = found == nil and "nothing" or "a " .. type(found)
    problem.raise("config_file", ("%s returns %s, not a table of keys"):format(path, what),
      { hint = 'return { data = "./srvthreds-data", session = { port = 3000 } }' })
  end
  local flat = flatten(found, "", path, text)
  for _, key in ipairs(names) do
    local item = flat[key]
    if item then
      local where = path .. (item.line and ":" .. item.line or "")
      local value = home_path(by_key[key], expand_all(item.value, environment), environment.HOME)
      set(into, by_key[key], value, "file " .. path, where)
    end
  end
end

local function take_flags(into, flags)
  for _, key in ipairs(names) do
    local entry, given = by_key[key], flags[key]
    if given then
      local is_list = entry.type == "paths" or entry.type == "list"
      local name = "--" .. config.flag_of(key)
      set(into, entry, is_list and given or given[#given], "flag " .. name, name)
    end
  end
end

---@return string? path of the user's file
function config.user_file(environment)
  local base = environment.XDG_CONFIG_HOME
  if not base or base == "" then base = environment.HOME and environment.HOME .. "/.config" end
  return base and base .. "/srvthreds/config.lua"
end

---Reads everything and raises a problem (cli/problem.lua) at the first mistake.
---@param options table? { flags = {key = {texts}}, environment =, file = path of --config }
---@return srvthreds.Config
function config.load(options)
  options = options or {}
  local environment = options.environment or config.environment()
  ---@type srvthreds.Config
  local into = { values = {}, sources = {}, notes = {} }
  for _, key in ipairs(names) do
    local entry = by_key[key]
    if entry.default ~= nil then set(into, entry, entry.default, "default") end
  end
  local user_file = config.user_file(environment)
  if user_file then take_file(into, user_file, environment, false) end
  take_file(into, options.file or "srvthreds.lua", environment, options.file ~= nil)
  check_environment(environment)
  take_environment(into, environment)
  take_flags(into, options.flags or {})
  return into
end

---@param loaded srvthreds.Config
---@return table[] rows { key, value (text, secrets masked), source }
function config.rows(loaded)
  local rows = {}
  for _, key in ipairs(names) do
    local entry, value = by_key[key], loaded.values[key]
    local text = value ~= nil and values.show(entry, value) or ""
    rows[#rows + 1] = { key = key, value = text, source = loaded.sources[key] or "default",
      unset = value == nil and (entry.unset or "not set") or nil }
  end
  return rows
end

return config
