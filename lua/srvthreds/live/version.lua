-- SPDX-License-Identifier: MIT
-- A version of a pattern: its source and the modules it requires, named by the hash of both. The files' names are no
-- part of it: a renamed file is the same version.
--
-- In the store a version's files lie under the names "NAME.lua" (the pattern) and "lib/NAME.lua" (its modules).

local runtime = require "core.runtime"
local host = require "srvthreds.engine.host"
local load = require "srvthreds.pattern.load".load
local format = require "srvthreds.pattern.report".format

local version = {}

---"lib.geo" -> "lib/geo.lua", or nil for what can't be a pattern's module.
---@param name string
---@return string?
function version.module_path(name)
  if not name:match "^lib%.[%w_%-%.]+$" or name:find("..", 1, true) then return nil end
  return (name:gsub("%.", "/")) .. ".lua"
end

---@param source string
---@param modules table<string, string> path -> source, of those that it requires
---@return string hash
function version.hash(source, modules)
  local paths = {}
  for path in pairs(modules) do paths[#paths + 1] = path end
  table.sort(paths)
  local parts = { #source .. ":" .. source }
  for _, path in ipairs(paths) do
    parts[#parts + 1] = ("%d:%s%d:%s"):format(#path, path, #modules[path], modules[path])
  end
  return runtime.sha256(table.concat(parts))
end

---@class srvthreds.Version
---@field pattern table? the loaded pattern; nil if there are mistakes
---@field hash string? of a good one
---@field files table<string, string>? of a good one, as the store keeps them
---@field problems table[] mistakes and warnings
---@field modules string[] paths of the modules that it asked for, also of those that aren't there

---Compiles and checks a pattern. To be called in a task.
---@param source string
---@param shown string the file as people know it, for messages
---@param name string "contact.lua"
---@param module fun(path: string): string?, string? source of a module by its path, and how it is shown
---@param stored boolean? it comes from the store: it has been good once
---@return srvthreds.Version
function version.load(source, shown, name, module, stored)
  local asked, sources = {}, {}
  local pattern, problems = load(source, shown, { host = host, stored = stored, modules = function(required)
    local path = version.module_path(required)
    if not path then return nil end
    asked[#asked + 1] = path
    local text, where = module(path)
    sources[path] = text
    return text, where
  end })
  local v = { problems = problems, modules = asked }
  if not pattern then return v end
  v.hash = version.hash(source, sources)
  v.files = { [name] = source }
  for path, text in pairs(sources) do v.files[path] = text end
  pattern.version, pattern.file = v.hash, shown
  v.pattern = pattern
  return v
end

---A version that is loaded already, if these are its files: nothing has to be compiled.
---@param pattern table? with `files`, as the engine loaded it from the store
---@return srvthreds.Version?
function version.same(pattern, source, name, module)
  local files = pattern and pattern.files
  if not files or files[name] ~= source then return nil end
  local modules = {}
  for path, text in pairs(files) do
    if path ~= name then
      if module(path) ~= text then return nil end
      modules[#modules + 1] = path
    end
  end
  return { pattern = pattern, hash = pattern.version, files = files, problems = {}, modules = modules }
end

---The pattern's own file among those of a stored version.
---@param files table<string, string>
---@return string? name
function version.main(files)
  local found
  for path in pairs(files) do
    if path:sub(1, 4) ~= "lib/" and (not found or path < found) then found = path end
  end
  return found
end

---Loads a version as the store keeps it.
---@param files table<string, string>
---@return srvthreds.Version
function version.of_files(files)
  local name = version.main(files)
  if not name then return { problems = {}, modules = {} } end
  return version.load(files[name], name, name, function(path) return files[path], path end, true)
end

---Problems as text for people, mistakes before warnings.
---@return string
function version.text(problems)
  local errors, warnings = {}, {}
  for _, p in ipairs(problems) do
    local list = p.severity == "warning" and warnings or errors
    list[#list + 1] = format(p)
  end
  table.move(warnings, 1, #warnings, #errors + 1, errors)
  return (table.concat(errors, "\n"):gsub("\n+$", ""))
end

return version
