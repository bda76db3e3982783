-- SPDX-License-Identifier: MIT
-- What lies in one folder of patterns: the patterns (every *.lua but *_test.lua) and the modules under lib/. A file is
-- read again only when it may have changed.

local runtime = require "core.runtime"

local RECENT_NS = 2000000000 -- a file this young may have changed without its time or size showing it

local folder = {}
folder.__index = folder

---@param path string
---@param only table<string, boolean>? names of the patterns that count
function folder.new(path, only)
  return setmetatable({ path = path, only = only, known = {} }, folder)
end

---@return string? source
local function read(self, path, st)
  local known = self.known[path]
  local young = runtime.now() * 1000000 - st.mtime_ns < RECENT_NS
  if known and not young and known.mtime_ns == st.mtime_ns and known.size == st.size then return known.source end
  local source = runtime.read_file(path)
  self.known[path] = source and { mtime_ns = st.mtime_ns, size = st.size, source = source } or nil
  return source
end

local function is_pattern(self, name)
  return name:match "^[^.].*%.lua$" and not name:match "_test%.lua$" and (not self.only or self.only[name])
end

---@return { path: string, name: string, source: string }[]|nil patterns in order of their names; nil: no such folder
function folder:patterns()
  local listed = runtime.list(self.path)
  if not listed then return nil end
  local found = {}
  for _, name in ipairs(listed) do
    local path = self.path .. "/" .. name
    local st = is_pattern(self, name) and runtime.stat(path)
    local source = st and st.type == "file" and read(self, path, st)
    if source then found[#found + 1] = { path = path, name = name, source = source } end
  end
  return found
end

---@param name string "lib/geo.lua"
---@return string? source, string? path
function folder:module(name)
  local path = self.path .. "/" .. name
  local st = runtime.stat(path)
  if not st or st.type ~= "file" then return nil end
  return read(self, path, st), path
end

local function add_folders(path, list)
  local st = runtime.stat(path)
  if not st or st.type ~= "directory" then return end
  list[#list + 1] = path
  for _, name in ipairs(runtime.list(path) or {}) do
    if name:sub(1, 1) ~= "." then add_folders(path .. "/" .. name, list) end
  end
end

---The folders whose changes matter: itself and all under lib/. Those that exist.
---@return string[]
function folder:watched()
  local list = {}
  local st = runtime.stat(self.path)
  if st and st.type == "directory" then list[1] = self.path end
  add_folders(self.path .. "/lib", list)
  return list
end

return folder
