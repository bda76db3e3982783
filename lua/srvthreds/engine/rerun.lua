-- SPDX-License-Identifier: MIT
-- An engine with a single thred, for running its recorded steps again by the code that took them: the store is one row in
-- memory, directory and patterns answer what the step's record says, and a commit compares what comes out with what came
-- out then. Nothing outside is asked and nothing is written.

local json = require "core.json"
local addresses = require "srvthreds.engine.addresses"
local budget = require "srvthreds.engine.budget"
local builtin = require "srvthreds.engine.builtin"
local ids = require "srvthreds.engine.ids"
local registry = require "srvthreds.engine.patterns"
local sources = require "srvthreds.pattern.sources"

local rerun = {}
rerun.__index = rerun

local SILENT = setmetatable({}, { __index = function() return function() end end })

local function text(v)
  if v == nil or type(v) == "string" then return v end
  return json.encode(v)
end

-- An error names its pattern's file as it was shown then: in a folder, if it had just been edited there.
local function without_folder(self, v)
  local rec = self.recorded.rec or {}
  local file = (rec.error or rec.overdue or {}).file
  local name = file and type(v) == "string" and file:match "/([^/]+)$"
  return name and v:gsub((file:gsub("%p", "%%%0")), (name:gsub("%%", "%%%%"))) or v
end

---Notes the first difference; the steps behind it mean nothing any more.
function rerun:compare(what, expected, got)
  if expected == got or self.difference or without_folder(self, expected) == got then return end
  self.difference = { step = self.recorded.step, what = what, expected = expected, got = got }
end

-- What is outside of the thred ----------------------------------------------------------------------------------------

local directory = {}
directory.__index = directory

local function read(self, key)
  local reads = self.run.recorded.rec.reads
  return reads ~= nil and reads[key] == true
end

function directory:is_member(group, id) return read(self, "$" .. group .. "?" .. id) end
function directory:is_service(address, id) return read(self, "service:" .. address .. "?" .. id) end
function directory:has_role(id, role) return read(self, "role:" .. role .. "?" .. id) end

-- Asked of an event's source: does it report a failure of a service?
function directory:service(id) return self.run.recorded.head.outcome == "error" and id or nil end

-- Asked of an event's source: is it told of the failure?
function directory:is_participant()
  for _, out in ipairs(self.run.recorded.outs) do
    if not out.rec.to then return true end
  end
  return false
end

-- What the step had emitted under this id, of this kind.
local function find_out(self, kind, id)
  local recorded = self.recorded
  local taken_back = recorded.tried and (self.trying or not recorded.rec.overdue)
  for _, out in ipairs(kind ~= "failure" and taken_back and recorded.tried or recorded.outs) do
    if kind == "failure" and not out.rec.to then return out end
    if out.id == id and out.rec.to and (out.type == "org.wt.broadcast") == (kind == "relay") then return out end
  end
end

-- To whom it went then. `to` is taken from the step: that it asks for the same is seen in the record it makes.
local function resolve(self, step, to, kind)
  local out = find_out(self, kind, kind ~= "failure" and ids.emitted(self.key, step.id, step.number, step.position + 1))
  local rec = out and out.rec or {}
  local asked = addresses.flatten(to, json.array {}, function(message) step:fail("publish.to", message) end)
  local r = { to = asked, services = rec.services or json.array {}, unknown = rec.unknown or {}, people = rec.people or json.array {} }
  if rec.to and #rec.to == 1 and not (rec.people or rec.services or rec.unknown) and rec.to[1]:byte(1) ~= 36 then
    r.people = { rec.to[1] } -- one person, as a record says it
  end
  return r
end

---Was it ended by a limit of time or memory?
---@param recorded table
function rerun.is_killed(recorded)
  local e = recorded.rec.overdue or recorded.rec.log and recorded.rec.error
  return e ~= nil and budget.of_machine[e.kind] == true
end

-- An expiry that the event of this step found overdue; it fails if it failed.
local function expire(self, step)
  local recorded = self.recorded
  local line = (recorded.rec.log or {})[#step.trail + 1]
  self.trying = line ~= nil and line.outcome == "error" and recorded.rec.overdue ~= nil
  if self.trying and rerun.is_killed(recorded) then error(recorded.rec.overdue, 0) end
  local ok, e = pcall(step.expire, step)
  self.trying = false
  if not ok then error(e, 0) end
end

local patterns = {}
patterns.__index = patterns

function patterns:active() return self.run.versions(self.run.began.version) end
function patterns:version(_, hash) return self.run.versions(hash) end

-- Which pattern it was is in the spawned thred's row; that one's name is compared when it is run.
function patterns:by_name(name) return { id = name } end -- luacheck: no unused args

function patterns:upgrade(step)
  local to = self.run.recorded.upgraded
  if to then registry.upgrade({ actives = { [step.state.pattern] = self.run.versions(to) } }, step) end
end

-- The thred -----------------------------------------------------------------------------------------------------------

local COLUMNS = { "pattern", "version", "reaction", "status", "started", "reacted" }

local function take(row, changes)
  if changes.step ~= false then row.step = row.step + 1 end
  if changes.state then row.state, row.due = text(changes.state), changes.due end
  for _, column in ipairs(COLUMNS) do row[column] = changes[column] or row[column] end
  if changes.ended then row.due = nil end
end

local handle = {}
handle.__index = handle

function handle:abort() end -- luacheck: no unused args

function handle:advance(_, outcome, rec, state, pattern, version, reaction, status, reacted, due, _, events)
  self:commit { outcome = outcome, rec = rec, state = state, pattern = pattern, version = version, reaction = reaction,
    status = status, reacted = reacted, due = due, events = events }
end

function handle:commit(changes)
  local run = self.run
  local recorded, emitted = run.recorded, changes.events or {}
  run.committed = true
  run:compare("step", recorded.step, changes.step ~= false and run.row.step + 1 or nil)
  run:compare("outcome", recorded.head.outcome, changes.outcome)
  run:compare("record", recorded.head.rec, text(changes.rec))
  for i = 1, math.max(#recorded.outs, #emitted) do
    local was, is = recorded.outs[i] or {}, emitted[i] or {}
    run:compare(("event %d"):format(i), was.body, text(is.body))
    run:compare(("record of event %d"):format(i), was.bytes, text(is.rec))
  end
  for _, m in ipairs(changes.messages or {}) do
    local id = m.target:match "^spawn:(.*)$"
    if id then run.spawned[id] = text(m.body) end
  end
  take(run.row, changes)
end

local store = {}
store.__index = store

function store:begin(id)
  local row = self.run.row
  self.run:compare("id", self.run.id, id)
  return setmetatable({ run = self.run }, handle), row.state and row.status ~= "terminated" and row or nil
end

function store:begin_new(id)
  self.run:compare("id", self.run.id, id)
  return setmetatable({ run = self.run }, handle)
end

rerun.commit = require "srvthreds.engine.commit"

function rerun:after() return {} end -- luacheck: no unused args

function rerun:is_lost() return false end -- luacheck: no unused args

---A step that left no trace then comes to its commit; one that ends here has failed.
function rerun:settle(_, changes)
  local e = changes.rec and changes.rec.error
  self:compare("outcome", ("%s, %s"):format(self.recorded.head.outcome, self.recorded.head.rec),
    ("%s, %s"):format(changes.outcome, e and e.message or text(changes.rec)))
end

---@class srvthreds.Rerun
---@field row table the thred as it is after the steps so far
---@field spawned table<string, string> id -> the message that begins that thred
---@field difference { step: integer, what: string, expected: any, got: any }?

---@param f { key: string, id: string, began: { pattern: string, version: string }, versions: fun(hash: string): table }
---@return srvthreds.Rerun
function rerun.new(f)
  local self = setmetatable({
    key = f.key, id = f.id, began = f.began, versions = f.versions, row = { id = f.id, step = 0 }, spawned = {},
    log = SILENT, waiters = {}, changes = {}, epoch = 0, sources = sources, builtin = builtin,
    offers = { moved = function() end }, pauses = SILENT,
  }, rerun)
  self.store, self.directory = setmetatable({ run = self }, store), setmetatable({ run = self }, directory)
  self.patterns = setmetatable({ run = self }, patterns)
  self.expire = function(step) return expire(self, step) end
  self.resolve = function(step, to, kind) return resolve(self, step, to, kind) end
  return self
end

---Runs one step: `fn` hands its input to the engine's own handler.
---@param recorded table { step, head, rec, outs, tried?, upgraded? }
---@param fn fun(run: srvthreds.Rerun)
function rerun:step(recorded, fn)
  self.recorded, self.committed, self.trying = recorded, false, false
  local ok, e = pcall(fn, self)
  if not ok then self:compare("error", nil, type(e) == "table" and e.message or tostring(e)) end
  if not self.committed then self:compare("commit", "a step", nil) end
end

---Takes a step as it was recorded, without running it.
function rerun:accept(recorded)
  self.recorded = recorded
  self.row.step, self.row.due = self.row.step + 1, nil
end

return rerun
