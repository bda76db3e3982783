-- SPDX-License-Identifier: MIT
-- Runs recorded threds again, from the store's rows alone, and compares byte for byte: each step's record and outcome, the
-- ids and bodies of the events it emitted, the threds it spawned; at the end the state and its columns.
--
--   local r = replay.new(store)
--   r:thred(id)   -> { id, steps, events, accepted, difference = {step, what, expected, got}?, incomplete = why? }
--   r:all(fn)     -> sums over every thred, live and archived; fn(result) after each
--
-- To be called in tasks: the store is looked at. What a step was given is in its own row (docs/decisions/engine.md); the
-- message that begins a spawned thred is what its parent gives when it is run again.

local json = require "core.json"
local bound = require "srvthreds.engine.bound"
local events = require "srvthreds.engine.event"
local messages = require "srvthreds.engine.messages"
local patterns = require "srvthreds.engine.patterns"
local rerun = require "srvthreds.engine.rerun"
local threds = require "srvthreds.engine.thred"
local timers = require "srvthreds.engine.timers"

local replay = {}
replay.__index = replay

-- How long a step takes here says nothing about how long it took then.
local LIMITS = { cpu = 60000, wall = 600000, memory = 1 << 30 }

---@class srvthreds.Replayed
---@field id string
---@field steps integer run again, or accepted
---@field events integer emitted by them
---@field accepted integer steps in which a limit of time or memory had ended a script: that much is taken as recorded
---@field difference { step: integer, what: string, expected: any, got: any }?
---@field incomplete string? why it can't be run again

---@param store table
---@param key string? what ids are made with, if not the store's own key
function replay.new(store, key)
  local self = setmetatable({ store = store, key = key or store:key(), spawned = {} }, replay)
  local registry = patterns.new(store)
  self.versions = function(hash)
    local pattern = registry:version(nil, hash)
    if pattern then pattern.limits, pattern.meter, pattern.meters = LIMITS, LIMITS, nil end
    return pattern
  end
  return self
end

local function missing(format, ...) error({ missing = format:format(...) }, 0) end

-- Rows -> steps ---------------------------------------------------------------------------------------------------------

local function out_of(row)
  local rec, body = json.decode(row.rec), json.decode(row.body)
  return { id = body.id, type = body.type, body = row.body, bytes = row.rec, rec = rec }
end

-- What a timer's step that failed had sent is in its record.
local function tried_of(rec)
  local list = rec.tried and {} or nil
  for i, t in ipairs(rec.tried or {}) do list[i] = { id = t.id, type = t.type, rec = t } end
  return list
end

local function upgraded_of(rec)
  if rec.upgraded then return rec.upgraded.to end
  return rec.error and rec.log and rec.error.version or nil -- of a timer's step that failed
end

local function new_step(row)
  if row.kind == "out" then missing("the record of step %d is gone", row.step) end
  local rec = row.rec and json.decode(row.rec) or {}
  return { step = row.step, head = row, rec = rec, outs = {}, waits = {}, tried = tried_of(rec), upgraded = upgraded_of(rec) }
end

-- Rows of a step: what came in, what it emitted, by n; behind them how long a timer was put off.
local function steps_of(rows, last)
  table.sort(rows, function(a, b)
    if a.step ~= b.step then return a.step < b.step end
    return a.n < b.n
  end)
  local list = {}
  for _, row in ipairs(rows) do
    local step = list[#list]
    if row.step > last then break end
    if not step or step.step ~= row.step then
      if row.step ~= #list + 1 then missing("step %d is gone", #list + 1) end
      list[#list + 1] = new_step(row)
    elseif row.kind == "out" then
      step.outs[#step.outs + 1] = out_of(row)
    else
      step.waits[#step.waits + 1] = json.decode(row.rec).input.due
    end
  end
  if #list < last then missing("step %d is gone", #list + 1) end
  return list
end

-- Steps -> inputs -------------------------------------------------------------------------------------------------------

-- The event that a record's step was about.
local function event_of(self, head)
  if head.kind == "in" then return head.body end
  local row = self.store:event(head.cause)
  if not row or not row.body then missing("event %d of step %d is gone", head.cause, head.step) end
  return row.body
end

local function message_of(self, id, by)
  if not self.spawned[id] then
    local parent = self:thred(by)
    if parent.incomplete then missing("thred %s, which spawned it: %s", by, parent.incomplete) end
    if not self.spawned[id] then missing("thred %s does not spawn it any more", by) end
  end
  local message = self.spawned[id]
  self.spawned[id] = nil
  return message
end

local function begin_spawned(self, id, step, input)
  local message = message_of(self, id, input.by)
  local delivery = { at = step.head.at, message = json.doc(message), target = "spawn:" .. id }
  return function(run)
    local pattern, name = run.versions(run.began.version), delivery.message.pattern
    if name ~= pattern.id then run:compare("spawned pattern", name, pattern.name) end
    messages.spawn(run, delivery, id)
  end
end

local by_input = {
  spawn = begin_spawned,
  terminate = function(_, id, _, input)
    return function(run) messages.terminate(run, { at = input.at, message = input, target = "terminate:" .. id }, id) end
  end,
  transition = function(_, id, _, input)
    return function(run) messages.transition(run, { at = input.at, message = input, target = "transition:" .. id }, id) end
  end,
  timer = function(_, id, _, input)
    return function(run) timers.retry(run, { at = input.at, target = "timer:" .. id }, id) end
  end,
}

local function of_event(self, id, step, input)
  local head = step.head
  local doc = events.doc(event_of(self, head))
  local delivery = { event = head.n, at = input.at or head.at, doc = doc, source = doc.source.id, id = doc.id,
    tries = input.kind == "retry" and 1 or nil }
  return function(run)
    if doc.thredId then return bound.handle(run, delivery, id) end
    if step.step == 1 then return messages.start(run, delivery, run.began.pattern) end
    messages.offer(run, delivery, id)
  end
end

-- What hands the step's input to the engine's own handler.
local function input_of(self, id, step)
  local input = step.rec.input or {}
  if by_input[input.kind] then return by_input[input.kind](self, id, step, input) end
  if step.head.kind == "in" or (step.head.cause or 0) > 0 then return of_event(self, id, step, input) end
  return function(run) timers.due(run, id, run.row.due) end
end

-- The end -----------------------------------------------------------------------------------------------------------------

-- A child that ended is taken out of its parent's list, without a step, once the parent hears of it.
local function without_ended(self, run, stored)
  local state, want = threds.decode(run.row), json.decode(stored.state).children or {}
  local listed = {}
  for _, child in ipairs(want) do listed[child] = true end
  for _, child in ipairs(state.children) do
    local row = not listed[child] and self.store:thred(child)
    if row and row.status == "active" then return end
  end
  state.children = json.array(want)
  run.row.state = threds.encode(state)
end

local function compare_end(self, run, stored)
  local row = run.row
  run.recorded = { step = stored.step }
  if row.status == "finished" and stored.status == "terminated" and stored.ended and stored.ended >= row.due then
    row.status, row.due = "terminated", nil -- it was kept as long as it had to be: no step
  end
  if row.state ~= stored.state then without_ended(self, run, stored) end
  run:compare("state", stored.state, row.state)
  for _, column in ipairs { "pattern", "version", "reaction", "status", "started", "reacted" } do
    run:compare(column, stored[column], row[column])
  end
  run:compare("due", stored.due ~= 0 and stored.due or nil, row.due)
end

-- The version that it began with: later ones are noted where the thred moved over.
local function first_version(steps, stored)
  for _, step in ipairs(steps) do
    if step.rec.upgraded then return step.rec.upgraded.from end
  end
  return stored.version
end

local function run_all(self, stored, result)
  local steps = steps_of(self.store:records(stored.id), stored.step)
  local version = first_version(steps, stored)
  if not self.versions(version) then missing("version %s of pattern %s is gone", version, stored.pattern) end
  local run = rerun.new { key = self.key, id = stored.id, began = { pattern = stored.pattern, version = version },
    versions = self.versions }
  for _, step in ipairs(steps) do
    local killed = rerun.is_killed(step)
    if killed then result.accepted = result.accepted + 1 end
    if killed and step.rec.error then
      run:accept(step)
    else
      run:step(step, input_of(self, stored.id, step))
    end
    if run.difference then break end
    result.steps, result.events = result.steps + 1, result.events + #step.outs
    for _, due in ipairs(step.waits) do run.row.due = due end
  end
  for id, message in pairs(run.spawned) do self.spawned[id] = message end
  if not run.difference then compare_end(self, run, stored) end
  result.difference = run.difference
end

---@param id string
---@return srvthreds.Replayed
function replay:thred(id)
  local result = { id = id, steps = 0, events = 0, accepted = 0 }
  local stored = self.store:thred(id)
  local ok, e = xpcall(function()
    if not stored then missing("there is no thred %s", id) end
    run_all(self, stored, result)
  end, function(e) return type(e) == "table" and e or { message = debug.traceback(tostring(e), 2) } end)
  if ok then return result end
  if not e.missing then error(e, 0) end
  result.incomplete = e.missing
  return result
end

-- All threds in the order in which they began, so that parents come before those they spawn.
local function each_thred(store)
  local function pages(status)
    local items, at, after = {}, 0, 0
    return function(take)
      if at >= #items and after then
        local page = store:threds { status = status, limit = 500, after = after }
        items, at, after = page.items, 0, page.after
      end
      local row = items[at + 1]
      if take then at = at + 1 end
      return row
    end
  end
  local live, ended = pages(nil), pages "terminated"
  return function()
    local a, b = live(), ended()
    if a and (not b or a.n < b.n) then return live(true) end
    return b and ended(true)
  end
end

---@param fn fun(result: srvthreds.Replayed)?
---@return { threds: integer, steps: integer, events: integer, accepted: integer, differences: table[], incomplete: table[] }
function replay:all(fn)
  local sum = { threds = 0, steps = 0, events = 0, accepted = 0, differences = {}, incomplete = {} }
  for row in each_thred(self.store) do
    local r = self:thred(row.id)
    sum.threds = sum.threds + 1
    for _, key in ipairs { "steps", "events", "accepted" } do sum[key] = sum[key] + r[key] end
    if r.difference then table.insert(sum.differences, r) end
    if r.incomplete then table.insert(sum.incomplete, r) end
    if fn then fn(r) end
  end
  return sum
end

---A difference in one text, for people.
---@param r srvthreds.Replayed
function replay.text(r)
  if r.incomplete then return ("thred %s can't be run again: %s"):format(r.id, r.incomplete) end
  local d = r.difference
  return ("thred %s, step %d, %s:\nexpected %s\ngot      %s"):format(r.id, d.step, d.what, tostring(d.expected), tostring(d.got))
end

return replay
