-- SPDX-License-Identifier: MIT
-- Live edit: a saved pattern or agent file changes the running system within a second; a bad one changes nothing.
--
--   watcher --change--> scan: what lies in the folders now, compared with what lay there at the last look
--                         good and new       -> the store's active version, the engine's patterns   (active.lua)
--                         bad                -> its mistakes, logged and kept for `patterns list`
--                         gone               -> no new threds
--
-- One scan at a time. A file that is missing or bad is looked at twice, 150 ms apart, before that counts: an editor may
-- be in the middle of replacing it.

local runtime = require "core.runtime"
local logs = require "core.log"
local metrics = require "core.metrics"
local active = require "srvthreds.live.active"
local agent_files = require "srvthreds.live.agent_files"
local folders = require "srvthreds.live.folder"
local version = require "srvthreds.live.version"
local watchers = require "srvthreds.live.watcher"

local SECOND_LOOK_MS = 150
local GONE = { modules = {} } -- what was seen of a file that isn't there
local RETRY_MS = 1000 -- after the store refused a change

---@class srvthreds.LiveOptions
---@field store table
---@field engine table its `patterns` follow
---@field folders (string|srvthreds.PatternFolder)[] folders of patterns
---@field agents { reload: fun(self, file: string, source: string): boolean?, string? }?
---@field agent_folders string[]?
---@field scripts srvthreds.Scripts? those for documents
---@field log table?

---@class srvthreds.Live
local live = {}
live.__index = live

---@param options srvthreds.LiveOptions
---@return srvthreds.Live
function live.new(options)
  local self = setmetatable({
    store = options.store, log = options.log or logs.logger { module = "live" }, folders = {}, files = {}, pending = {},
  }, live)
  for _, f in ipairs(options.folders or {}) do
    self.folders[#self.folders + 1] = type(f) == "string" and folders.new(f) or folders.new(f.path, f.only)
  end
  self.active = active.new(options.store, options.engine.patterns, self.log)
  self.agents = agent_files.new(options.agents, options.agent_folders or {}, self.log, "agent")
  self.scripts = agent_files.new(options.scripts, { options.scripts and options.scripts.folder }, self.log, "script")
  self.reloads = {
    ok = metrics.counter("srvthreds_pattern_reloads_total", { result = "ok" }),
    failed = metrics.counter("srvthreds_pattern_reloads_total", { result = "failed" }),
  }
  self.watcher = watchers.new(function() self:look() end, self.log)
  self.timer = runtime.timer(function() self:look() end)
  return self
end

-- What is there -----------------------------------------------------------------------------------------------------

local function same_modules(folder, entry)
  for path, source in pairs(entry.modules) do
    if (folder:module(path) or false) ~= source then return false end
  end
  return true
end

local function compile(self, folder, file)
  local function module(path) return folder:module(path) end
  local v = version.same(self.active:loaded(file.name), file.source, file.name, module)
    or version.load(file.source, file.path, file.name, module)
  local modules = {}
  for _, path in ipairs(v.modules) do modules[path] = folder:module(path) or false end
  return {
    path = file.path, name = file.name, source = file.source, modules = modules, version = v, at = runtime.now(),
  }
end

-- What is missing or bad is looked at again, and what was there stays until then.
local function look_again(self, path, seen)
  self.pending[path] = seen
  self.repeat_in = SECOND_LOOK_MS
end

local function is_same(folder, entry, file)
  return entry and entry.source == file.source and same_modules(folder, entry)
end

local function look_at_file(self, folder, file, settled)
  local before, pending = self.files[file.path], self.pending[file.path]
  if is_same(folder, before, file) then return before end
  local seen_before = pending and is_same(folder, pending, file)
  local entry = seen_before and pending or compile(self, folder, file)
  if not entry.version.pattern and not settled and not seen_before then
    look_again(self, file.path, entry)
    return before
  end
  -- A bad file is still the file of its pattern.
  entry.id = entry.version.pattern and entry.version.pattern.id or before and before.id or self.active:id_of(file.name)
  return entry
end

---@return table<string, table> path -> entry
local function look_around(self, settled)
  local now = {}
  for _, folder in ipairs(self.folders) do
    for _, file in ipairs(folder:patterns() or {}) do now[file.path] = look_at_file(self, folder, file, settled) end
  end
  for path, before in pairs(self.files) do
    if not now[path] and not settled and self.pending[path] ~= GONE then
      look_again(self, path, GONE)
      now[path] = before
    end
  end
  return now
end

-- What it means -----------------------------------------------------------------------------------------------------

local function in_order(entries)
  local list = {}
  for _, entry in pairs(entries) do list[#list + 1] = entry end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

-- id -> its files; `good`: only those that can be used.
local function claims(list, good)
  local by_id = {}
  for _, entry in ipairs(list) do
    if entry.id and (entry.version.pattern or not good) then
      by_id[entry.id] = by_id[entry.id] or {}
      table.insert(by_id[entry.id], entry)
    end
  end
  return by_id
end

local function name_duplicates(self, list)
  for id, entries in pairs(claims(list, true)) do
    local paths = {}
    for i, entry in ipairs(entries) do paths[i] = entry.path end
    local text = #paths > 1 and ("the pattern id %q is in several files: %s; give each its own name or id")
      :format(id, table.concat(paths, " and ")) or nil
    local told = false
    for _, entry in ipairs(entries) do
      told = told or entry.duplicate == text
      entry.duplicate = text
    end
    if text and not told then
      self.reloads.failed:add()
      self.log.error(text, { pattern = id })
    end
  end
end

local function complain(self, entry)
  if entry.told then return end
  entry.told = true
  local id = entry.id
  local text = version.text(entry.version.problems)
  if not entry.version.pattern then
    self.reloads.failed:add()
    local hash = id and self.active:hash(id)
    self.log.error(("%s can't be used; %s\n%s"):format(entry.path,
      hash and ("version %s stays active"):format(hash:sub(1, 12)) or "nothing has changed", text), { pattern = id })
  elseif #entry.version.problems > 0 then
    self.log.warn(("%s:\n%s"):format(entry.path, text), { pattern = id })
  end
end

-- A change that the store refuses is tried again.
local function attempt(self, what, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then return true end
  self.repeat_in = self.repeat_in or RETRY_MS
  self.log.error(what .. " failed", { err = tostring(e) })
  return false
end

local function take(self, entry, at_start)
  if entry.applied or entry.duplicate or not entry.version.pattern then return end
  if not attempt(self, "reload of " .. entry.path, self.active.take, self.active, entry, at_start) then return end
  entry.applied = true
  if not at_start then self.reloads.ok:add() end
end

local function conclude(self, now, at_start)
  local before, list = claims(in_order(self.files)), in_order(now)
  local by_id = claims(list)
  self.files = now
  name_duplicates(self, list)
  for _, entry in ipairs(list) do
    complain(self, entry)
    take(self, entry, at_start)
  end
  for id, entries in pairs(before) do
    local path = entries[1].path
    if not by_id[id] and not attempt(self, "end of pattern " .. id, self.active.file_gone, self.active, id, path) then
      self.files[path] = entries[1]
    end
  end
end

-- Looking -----------------------------------------------------------------------------------------------------------

local function watch(self)
  local roots, all = {}, {}
  for _, folder in ipairs(self.folders) do
    roots[#roots + 1] = folder.path
    table.move(folder:watched(), 1, #folder:watched(), #all + 1, all)
  end
  for _, files in ipairs { self.agents, self.scripts } do
    for _, path in ipairs(files.folders) do
      roots[#roots + 1] = path
      local st = runtime.stat(path)
      if st and st.type == "directory" then all[#all + 1] = path end
    end
  end
  self.watcher:watch(roots, all)
end

local function scan(self, settled, at_start)
  self.repeat_in = nil
  if self.watching then watch(self) end -- before reading, so that nothing is missed
  local now = look_around(self, settled)
  if not self.repeat_in then self.pending = {} end
  conclude(self, now, at_start)
  self.agents:look()
  if self.scripts:look() then self.repeat_in = SECOND_LOOK_MS end
  if self.repeat_in and not self.closed then self.timer:start(runtime.now() + self.repeat_in) end
end

-- Scans wait for scripts; what changes meanwhile is looked at afterwards.
local function one_at_a_time(self, ...)
  if self.scanning then
    self.again = true
    return false
  end
  self.scanning = true
  local ok, e = pcall(scan, self, ...)
  self.scanning = false
  if not ok then self.log.error("looking for changed files failed", { err = tostring(e) }) end
  return true
end

---Something may have changed.
function live:look()
  if self.closed or not one_at_a_time(self, false) then return end
  while self.again and not self.closed do
    self.again = false
    one_at_a_time(self, false)
  end
end

---Looks now; what is found counts at once. In a task.
function live:scan()
  while self.scanning do runtime.sleep(5) end
  one_at_a_time(self, true)
end

---The first look, by the rules of a start, and then every change. In a task.
function live:start()
  self.active:load()
  self.watching = true
  self.agents:start()
  local ok, e = pcall(scan, self, true, true)
  if not ok then self.log.error("looking for patterns failed", { err = tostring(e) }) end
  self.active:report_missing(claims(in_order(self.files)))
end

---What is wrong with which file, in order of their names.
---@return { file: string, pattern: string?, at: integer, text: string, problems: table[] }[]
function live:problems()
  local list = {}
  for _, entry in ipairs(in_order(self.files)) do
    local problems = entry.version.problems
    if entry.duplicate or #problems > 0 then
      local parts = {}
      if entry.duplicate then parts[1] = entry.duplicate end
      if #problems > 0 then parts[#parts + 1] = version.text(problems) end
      list[#list + 1] = {
        file = entry.path, pattern = entry.id, at = entry.at, text = table.concat(parts, "\n"), problems = problems,
        failed = entry.duplicate ~= nil or entry.version.pattern == nil,
      }
    end
  end
  return list
end

---Which file each pattern has.
---@return table<string, { path: string, hash: string? }> pattern id -> its file, and the version that it holds
function live:by_pattern()
  local map = {}
  for _, entry in ipairs(in_order(self.files)) do
    if entry.id and not map[entry.id] then map[entry.id] = { path = entry.path, hash = entry.version.hash } end
  end
  return map
end

---Starts threds again, or no more; stays so after a restart.
---@param id string
---@param yes boolean
---@return boolean changed
function live:enable(id, yes) return self.active:enable(id, yes) end

---Is there a pattern of this id?
function live:knows(id) return self.active.hashes[id] ~= nil end

---Makes a version that the store knows the active one; the file stays as it is.
---@param id string
---@param hash string or its beginning, 8 digits at least
function live:rollback(id, hash) return self.active:rollback(id, hash) end

function live:close()
  self.closed = true
  self.timer:stop()
  self.watcher:close()
end

return live
