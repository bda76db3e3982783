-- SPDX-License-Identifier: MIT
-- What the verbs that start services have in common.
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local services = {}

local function is_folder(path)
  local found = runtime.stat(path)
  return found ~= nil and found.type == "directory"
end

---The folder that came with the program: lua/, run-profiles/ and agents/ are in it.
---@return string
function services.shipped()
  local root = package.path:match("^([^;]-)/%?%.lua")
  return root:match("^(.*)/[^/]+$") or "."
end

local function check_folders(call, key)
  for _, folder in ipairs(call.config.values[key] or {}) do
    if not is_folder(folder) then
      problem.raise("bad_value", ("%s: there is no folder %s"):format(key, folder),
        { hint = ("it came from the %s"):format(call.config.sources[key]) })
    end
  end
end

---The configuration as services take it: key -> value; the lists of folders are never nil.
---@param call srvthreds.cli.Call
---@return table<string, any>
function services.config(call)
  for _, key in ipairs { "patterns", "agents", "profiles" } do check_folders(call, key) end
  local resolved = {}
  for key, value in pairs(call.config.values) do resolved[key] = value end
  resolved.patterns = resolved.patterns or is_folder "./patterns" and { "./patterns" } or {}
  resolved.agents = resolved.agents or is_folder "./agents" and { "./agents" } or {}
  resolved.profiles = resolved.profiles or is_folder "./run-profiles" and { "./run-profiles" } or {}
  if call.flags.debug then resolved["log.level"] = "debug" end
  if not resolved["log.format"] then resolved["log.format"] = runtime.isatty(2) and "text" or "json" end
  return resolved
end

---The database of documents that the configuration names, for who needs it without a server.
---@return table core.docdb's
function services.documents(config)
  local url = config.docdb:gsub("DATA", function() return config.data end)
  return require("core.docdb").open {
    hosts = { { name = "default", url = url } }, databases = config["docdb.databases"], timeout = config["docdb.timeout"],
    keep = config["dedup.keep"],
  }
end

---@type srvthreds.cli.Flag
services.debug_flag = { name = "debug", short = "d", help = "debug logs, as --log-level debug" }

---@param call srvthreds.cli.Call
---@param options table of service.run, without config and shipped
---@return table service
function services.run(call, options)
  options.config = services.config(call)
  options.shipped = services.shipped()
  return require("srvthreds.service").run(options)
end

services.keys = { "data", "patterns", "agents", "profiles", "bind", "engine.port", "session.port", "session.http_port",
  "log.level", "log.format" }

return services
