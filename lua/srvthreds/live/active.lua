-- SPDX-License-Identifier: MIT
-- Which version of a pattern is active, and whether it starts threds: in the store, and after it in the engine.
--
-- The store holds the active version. A file that changes while it is watched becomes active; at start only a
-- version that the store has never seen does, so that a rollback survives a restart and two machines with different
-- files don't fight.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local version = require "srvthreds.live.version"

local OFF = "patterns.off" -- meta: pattern id -> "disabled" (by somebody) or "deleted" (its file)

local active = {}
active.__index = active

---@param store table
---@param patterns table engine.patterns
function active.new(store, patterns, log)
  return setmetatable({ store = store, patterns = patterns, log = log, hashes = {}, off = {}, by_file = {} }, active)
end

---What the store has turned off.
---@return table<string, "disabled"|"deleted">
function active.turned_off(store)
  local bytes = store:meta(OFF)
  return bytes and json.decode(bytes) or {}
end

---@param off table<string, string>
function active.turn_off(store, off) store:meta(OFF, json.encode(off)) end

-- The store's row says whether it starts threds; `off` says why not.
local function set_off(self, id, why)
  if self.off[id] == why then return end
  self.off[id] = why
  active.turn_off(self.store, self.off)
  active.enable_row(self.store, id, self.hashes[id], why == nil)
end

---Writes that the active version starts threds, or doesn't.
function active.enable_row(store, id, hash, yes)
  store:put_pattern { id = id, hash = hash, at = runtime.now(), activate = true, enabled = yes }
end

---Reads what the store has; the engine has loaded the active versions already.
function active:load()
  self.hashes, self.off, self.by_file = {}, active.turned_off(self.store), {}
  for _, row in ipairs(self.store:active_patterns()) do
    self.hashes[row.id] = row.hash
    local pattern = self.patterns.actives[row.id]
    if pattern and pattern.file then self.by_file[pattern.file:match "[^/]+$"] = row.id end
  end
  for id, why in pairs(self.off) do
    if why == "deleted" then
      self.patterns:drop(id)
    elseif self.patterns.actives[id] then
      self.patterns:use(self.patterns.actives[id], false)
    end
  end
end

---The pattern whose file had this name when its active version was stored.
function active:id_of(name) return self.by_file[name] end

---What the engine runs under this file name.
function active:loaded(name) return self.patterns.actives[self.by_file[name] or ""] end

---The active version, or nil; also of a pattern that is turned off.
function active:hash(id) return self.off[id] ~= "deleted" and self.hashes[id] or nil end

local function use(self, pattern)
  self.patterns:use(pattern, self.off[pattern.id] == nil)
end

-- A pattern that somebody disabled stays so; one whose file was deleted is back.
local function put(self, id, hash, files)
  if self.off[id] == "deleted" then
    self.off[id] = nil
    active.turn_off(self.store, self.off)
  end
  self.store:put_pattern {
    id = id, hash = hash, files = files, file = version.main(files), at = runtime.now(), activate = true,
    enabled = self.off[id] == nil,
  }
  self.hashes[id] = hash
end

local function activate(self, entry)
  local pattern, v = entry.version.pattern, entry.version
  local before = self:hash(pattern.id)
  put(self, pattern.id, v.hash, v.files)
  use(self, pattern)
  self.log.info(before and "pattern reloaded" or "pattern added",
    { pattern = pattern.id, version = v.hash, file = entry.path })
end

-- At start a version that was active once and is not any more stays that way.
local function stays_as_it_is(self, entry)
  local id, hash = entry.version.pattern.id, entry.version.hash
  local now = self:hash(id)
  if not now or not self.store:pattern(hash) then return false end
  self.log.warn(("pattern %s: version %s is active, the file %s is version %s; save the file to make it active")
    :format(id, now:sub(1, 12), entry.path, hash:sub(1, 12)), { pattern = id, version = now })
  return true
end

---A good file is there.
---@param entry { path: string, version: srvthreds.Version }
function active:take(entry, at_start)
  local pattern, hash = entry.version.pattern, entry.version.hash
  if self:hash(pattern.id) == hash then
    if not self.patterns.actives[pattern.id] then use(self, pattern) end
    return
  end
  if at_start and stays_as_it_is(self, entry) then return end
  activate(self, entry)
end

---The file of a pattern was deleted while it was watched: no new threds, live ones go on.
function active:file_gone(id, path)
  if not self.hashes[id] then return end
  set_off(self, id, "deleted")
  self.patterns:drop(id)
  self.log.info("pattern's file deleted: it starts no new threds", { pattern = id, file = path })
end

---Active patterns whose file none of the folders holds: they go on.
---@param by_id table<string, any> ids that have a file
function active:report_missing(by_id)
  for id, hash in pairs(self.hashes) do
    if not by_id[id] and not self.off[id] then
      self.log.warn("an active pattern has no file in the folders of patterns; it stays active until it is disabled",
        { pattern = id, version = hash })
    end
  end
end

local function fail(code, format, ...) error(codes.error(code, format:format(...)), 0) end

local function known(self, id)
  if not self.hashes[id] then fail(codes.not_found, "there is no pattern %s", id) end
end

---@return boolean changed
function active:enable(id, yes)
  known(self, id)
  if self.off[id] == "deleted" and yes then
    fail(codes.argument, "the file of pattern %s was deleted: put it back to make it active", id)
  end
  local why = not yes and "disabled" or nil
  if self.off[id] == why or self.off[id] == "deleted" then return false end
  set_off(self, id, why)
  if self.patterns.actives[id] then use(self, self.patterns.actives[id]) end
  self.log.info(yes and "pattern enabled" or "pattern disabled", { pattern = id, version = self.hashes[id] })
  return true
end

local function find_version(self, id, prefix)
  if #prefix < 8 then
    fail(codes.argument, "a version is named by at least the first 8 digits of its hash")
  end
  local found
  for _, row in ipairs(self.store:patterns()) do
    if row.id == id and row.hash:sub(1, #prefix) == prefix then
      if found then fail(codes.argument, "several versions of %s begin with %s", id, prefix) end
      found = row.hash
    end
  end
  return found or fail(codes.not_found, "pattern %s has no version %s", id, prefix)
end

---@return string hash the version that is active now
function active:rollback(id, prefix)
  known(self, id)
  local hash = find_version(self, id, prefix)
  local row = self.store:pattern(hash)
  local pattern = self.patterns.versions[hash]
  if not pattern then
    local v = version.of_files(row.files)
    if not v.pattern then
      fail(codes.server, "version %s of %s can't be loaded any more:\n%s", hash, id, version.text(v.problems))
    end
    pattern = v.pattern
    pattern.version = hash
  end
  put(self, id, hash, row.files)
  use(self, pattern)
  self.log.info("pattern rolled back", { pattern = id, version = hash })
  return hash
end

return active
