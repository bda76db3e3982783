-- SPDX-License-Identifier: MIT
-- Puts a profile into a store: who takes part, and the active versions of its patterns. Does nothing if this
-- profile, by hash, is there already. A version that the store has seen before does not become active again, so that
-- a rollback survives; with `reset` everything is as the profile says.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local directory = require "srvthreds.directory"
local active = require "srvthreds.live.active"
local folders = require "srvthreds.live.folder"
local documents = require "srvthreds.profile.documents"
local profiles = require "srvthreds.profile"
local version = require "srvthreds.live.version"

local bootstrap = {}

local META = "profile"

---@return { name: string, hash: string, at: integer, patterns: string[] }|nil what was bootstrapped last
function bootstrap.loaded(store)
  local bytes = store:meta(META)
  return bytes and json.decode(bytes) or nil
end

local function add_folder(path, only, found)
  local folder = folders.new(path, only)
  for _, file in ipairs(folder:patterns() or {}) do
    local v = version.load(file.source, file.path, file.name, function(name) return folder:module(name) end)
    if not v.pattern then
      found.problems[#found.problems + 1] = version.text(v.problems)
    elseif found.by_id[v.pattern.id] then
      found.problems[#found.problems + 1] = ("the pattern id %q is in several files: %s and %s"):format(v.pattern.id,
        found.by_id[v.pattern.id].path, file.path)
    else
      found.by_id[v.pattern.id] = { path = file.path, version = v }
      found.ids[#found.ids + 1] = v.pattern.id
    end
  end
end

-- All of them are good, or nothing is done.
local function compile(profile)
  local found = { ids = {}, by_id = {}, problems = {} }
  for _, folder in ipairs(profile.pattern_folders) do add_folder(folder.path, folder.only, found) end
  if #found.problems > 0 then
    local text = table.concat(found.problems, "\n")
    error(codes.error(codes.argument, ("the patterns of profile %s can't be used, nothing was done:\n%s")
      :format(profile.name, text)), 0)
  end
  table.sort(found.ids)
  return found
end

local function hashes_of(store)
  local hashes = {}
  for _, row in ipairs(store:active_patterns()) do hashes[row.id] = row.hash end
  return hashes
end

local function put_patterns(store, found, off, reset)
  local put, now = {}, hashes_of(store)
  for _, id in ipairs(found.ids) do
    local v = found.by_id[id].version
    local gone = not now[id] or off[id] == "deleted"
    if now[id] ~= v.hash and (reset or gone or not store:pattern(v.hash)) then
      if gone or reset then off[id] = nil end
      store:put_pattern {
        id = id, hash = v.hash, files = v.files, file = version.main(v.files), at = runtime.now(), activate = true,
        enabled = off[id] == nil,
      }
      put[#put + 1] = id
    elseif off[id] and (gone or reset) then
      off[id] = nil
      active.enable_row(store, id, now[id], true)
    end
  end
  return put
end

-- What the last bootstrap put there and this one doesn't know starts nothing any more.
local function drop_patterns(store, found, last, off)
  local dropped, now = {}, hashes_of(store)
  for _, id in ipairs(last and last.patterns or {}) do
    if not found.by_id[id] and not off[id] and now[id] then
      off[id] = "deleted"
      active.enable_row(store, id, now[id], false)
      dropped[#dropped + 1] = id
    end
  end
  return dropped
end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

---@class srvthreds.BootstrapResult
---@field profile string
---@field done boolean false: this profile was there already
---@field patterns string[] ids whose version became active
---@field dropped string[] ids that start nothing any more
---@field participants integer
---@field groups integer

---To be called in a task. Raises with every mistake of its patterns, before anything is changed.
---@param store table
---@param profile srvthreds.Profile
---@param options { reset: boolean?, db: table? }? db: core.docdb's; without it nothing is done about documents
---@return srvthreds.BootstrapResult
function bootstrap.run(store, profile, options)
  options = options or {}
  local last = bootstrap.loaded(store)
  local result = { profile = profile.name, done = false, patterns = {}, dropped = {},
    participants = count(profile.participants), groups = count(profile.groups) }
  if last and last.hash == profile.hash and not options.reset then return result end
  local found, off = compile(profile), active.turned_off(store)
  directory.save(store, profiles.facts(profile))
  result.patterns = put_patterns(store, found, off, options.reset)
  result.dropped = drop_patterns(store, found, last, off)
  active.turn_off(store, off)
  if options.db then documents.set_up(options.db, profile) end
  local ids = json.array(found.ids)
  store:meta(META, json.encode { name = profile.given, hash = profile.hash, at = runtime.now(), patterns = ids })
  result.done = true
  return result
end

return setmetatable(bootstrap, { __call = function(_, ...) return bootstrap.run(...) end })
