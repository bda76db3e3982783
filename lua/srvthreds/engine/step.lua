-- SPDX-License-Identifier: MIT
-- One step of one thred: an input applied to its state, and what comes of it, until it is committed as one changeset.
--
-- A step has: engine, handle (the store's; nil under test), id, number, now (ms: acceptedAt or the due time), pattern,
-- state, event, due; and collects: trail (of transitions), events, messages, joined. `writable` is true while locals may
-- be written. It is the context of its script calls (now, seed, log).

local json = require "core.json"
local script = require "core.script"
local absent = require "srvthreds.engine.absent"
local budget = require "srvthreds.engine.budget"
local codes = require "srvthreds.engine.codes"
local condition = require "srvthreds.engine.condition"
local events = require "srvthreds.engine.event"
local ids = require "srvthreds.engine.ids"
local most = require "srvthreds.engine.limits"
local template = require "srvthreds.engine.template"
local threds = require "srvthreds.engine.thred"

local TRANSITION_LIMIT = 100 -- in one step; more is a loop of forwards

local step = {}
step.__index = step

---@param id string? nil: not yet known (a test)
function step.new(engine, handle, id, number, now, pattern, state, due)
  return setmetatable({ -- 16 keys at most, with event and source: a larger table costs
    engine = engine, handle = handle, id = id, number = number, now = now, pattern = pattern, state = state, due = due,
    trail = {}, events = {}, position = 0, writable = false, seed = id, event = nil, source = nil,
  }, step)
end

---Makes `doc` the event of this step.
---@param source string? its source's id, where it is known already
function step:take(doc, source)
  self.event = doc and json.with(doc, self) or nil
  self.source = source or doc and doc.source and doc.source.id or nil
end

function step:reaction()
  return self.pattern.reactions[self.pattern.by_name[self.state.reaction]]
end

function step:next_id()
  self.position = self.position + 1
  return ids.emitted(self.engine.key, self.id, self.number, self.position)
end

-- Mistakes of the author: they name pattern, reaction and what was being done (a word, or the condition).
function step:fail(doing, message, fields)
  if type(doing) == "table" then doing = ("condition %s (line %d)"):format(doing.kind, doing.line or 0) end
  local reaction = fields and fields.reaction or self.state.reaction
  local e = codes.error(fields and fields.code or codes.server,
    ("pattern %q, reaction %q, %s: %s"):format(self.pattern.name, reaction, doing, codes.text(message)), fields)
  e.pattern, e.reaction, e.version, e.authors = self.pattern.id, reaction, self.pattern.version, true
  if not e.file then
    local index = self.pattern.by_name[reaction]
    local declared = index and self.pattern.reactions[index] or {}
    e.file, e.line = declared.file or self.pattern.file, declared.line
  end
  error(e, 0)
end

-- Runs as a part of the script: under its limits, and its tables are copied without running their metamethods.
local function plainly(event, thred, fn)
  local v = fn(event, thred)
  return type(v) == "table" and json.copy(v) or v
end

---Calls a script function with (event, thred, ...).
function step:call(doing, fn, ...)
  local meters = self.pattern.meters -- a pattern under test has none
  local limits = meters and meters[self.state.reaction] or self.pattern.limits
  local ok, v = script.call(self, limits, fn, self.event, threds.face, ...)
  if ok then return v end
  budget.failed(self.pattern.id, self.state.reaction, v.kind)
  budget.place(v, fn == plainly and ... or fn)
  local code, raised, deliberate = codes.raised(v.value)
  local message = raised or absent.explain(v.message, self.event)
  if raised and not deliberate and v.file and not message:find(v.file, 1, true) then
    message = ("%s:%d: %s"):format(v.file, v.line or 0, message)
  end
  self:fail(doing, message, { code = code, file = v.file, line = v.line, kind = v.kind, trace = v.traceback })
end

---The same for a function whose result is walked: a table that it gives is a tree of plain tables.
function step:call_plain(doing, fn)
  return self:call(doing, plainly, fn)
end

-- A step whose function failed goes no further, or is made anew (back).
function step:write_with(doing, fn, ...)
  self.writable = true
  local v = self:call(doing, fn, ...)
  self.writable = false
  return v
end

-- Membership, addresses and roles come from outside: what was asked is recorded with the step.
function step:lookups()
  local directory = self.engine.directory
  return {
    is_member = function(group, id)
      local yes = directory:is_member(group, id)
      self.reads = self.reads or {}
      self.reads["$" .. group .. "?" .. id] = yes
      return yes
    end,
    is_service = function(address, id)
      local yes = directory:is_service(address, id)
      if yes then
        self.reads = self.reads or {}
        self.reads["service:" .. address .. "?" .. id] = true
      end
      return yes
    end,
    has_role = function(id, role)
      local yes = directory:has_role(id, role)
      self.reads = self.reads or {}
      self.reads["role:" .. role .. "?" .. id] = yes
      return yes
    end,
  }
end

---May this event, by its source, be for this reaction at all?
function step:allows(reaction)
  if not reaction.allowed_sources and not reaction.allowed_roles then return true end
  local ok, allowed = pcall(self.engine.sources.allowed, reaction, self.source, self:lookups())
  if ok then return allowed end
  local e = codes.of(allowed)
  self:fail("allowed_sources", e.message, { code = e.code, reaction = reaction.name })
end

---Tests the current reaction; nothing changes.
function step:match(reaction)
  if not self:allows(reaction) then return condition.nothing end
  return condition.match(reaction.condition, self)
end

-- Directives --------------------------------------------------------------------------------------------------------

-- Who an emitted event went to, as its record says it; lists that are empty or say the same are left out.
local function record_of(to)
  local people = #to.people == #to.to and #to.services == 0 and #to.unknown == 0 and to.people[1] == to.to[1] and #to.to == 1
  return {
    to = to.to, people = not people and #to.people > 0 and to.people or nil, services = to.services[1] and to.services or nil,
    unknown = to.unknown[1] and to.unknown or nil,
  }
end

---A line for the log, written once the step is there to stay.
function step:note(level, message, fields)
  self.notes = self.notes or {}
  self.notes[#self.notes + 1] = { level = level, message = message, fields = fields }
end

---An event leaves with the commit of this step.
---@param id string
---@param body string canonical JSON
---@param to table its recipients, as addresses.resolve gives them
function step:emit(id, body, to)
  self.events[#self.events + 1] = {
    id = id, body = body, rec = to.rec or record_of(to), inbox = to.people, services = to.services,
  }
  if to.unknown[1] then
    self:note("warn", "no such addressee", { pattern = self.pattern.id, reaction = self.state.reaction,
      thred_id = self.id, event_id = id, to = table.concat(to.unknown, ", ") })
  end
end

function step:join(id)
  if not threds.join(self.state, id) then return end
  self.joined = self.joined or {}
  self.joined[#self.joined + 1] = id
end

-- The envelope is written as text, keys in byte order: only the data is the pattern's. Ids of threds and emitted events are
-- hexadecimal; what comes from outside is quoted.
function step:envelope(id, re, head, data, tail)
  if re ~= nil and type(re) ~= "string" then
    self:fail("transform", ("re is the id of an event, a string, not a %s"):format(type(re)))
  end
  local begin, cause = '{"data":', ""
  if self.event then begin, cause = '{"causedBy":', (json.bytes(self.event, "id") or "null") .. ',"data":' end
  return begin .. cause .. head .. data .. tail .. ',"id":"' .. id .. (re and '","re":' .. json.encode(re) .. ',' or '",')
    .. '"source":{"id":"SYSTEM","name":"Workthreds Bot"},"thredId":"' .. self.id .. '","time":' .. self.now
    .. ',"type":"org.wt.tell"}'
end

---@param head string the data's JSON in three texts
---@param re any the event that it answers
function step:publish(publish, head, data, tail, re)
  local to = publish.to
  if type(to) == "function" then to = self:call_plain("publish.to", to) end
  local resolved = self.engine.resolve(self, to, "publish")
  local id = self:next_id()
  local body = self:envelope(id, re, head, data, tail)
  if publish.name then threds.own(self.state, "published")[publish.name] = id end
  if publish.on_publish then self:write_with("on_publish", publish.on_publish, events.doc(body)) end
  self:emit(id, body, resolved)
  for i = 1, #resolved.people do self:join(resolved.people[i]) end
  for i = 1, #resolved.services do self:join(resolved.services[i]) end
end

function step:local_event(name, doing, from)
  local v = self.state.locals[name]
  local source = type(v) == "table" and v.source
  if type(v) ~= "table" or type(v.type) ~= "string" or source and json.kind(source) ~= "object" then
    self:fail(doing, ("there is no event under the local %q: store one with thred.%s = event"):format(name, name),
      { reaction = from })
  end
  return events.doc(json.encode(v))
end

function step:message(message)
  self.messages = self.messages or {}
  self.messages[#self.messages + 1] = message
end

---@param from string the reaction that says so: the thred may have left it
function step:spawn(spawn, from)
  for _, name in ipairs(spawn.names) do
    local pattern = self.engine.patterns:by_name(name)
    if not pattern then
      self:fail("spawn", ("there is no pattern %q"):format(name), { code = codes.not_found, reaction = from })
    end
    local id = self:next_id()
    local event = spawn.input == "forward" and self.event
      or spawn.input == "local" and self:local_event(spawn.local_name, "spawn", from) or nil
    if spawn.type ~= "sibling" then table.insert(threds.own(self.state, "children"), id) end
    local ok, body = pcall(json.encode, { -- now: the step may go on and change its locals
      pattern = pattern.id, type = spawn.type, parent = self.id, at = self.now, event = event,
      locals = spawn.context and self.state.locals or nil,
      participants = spawn.context and self.state.participants or nil,
    }, most.document)
    if not ok then self:fail("spawn", tostring(body), { code = codes.argument, reaction = from }) end
    self:message { topic = "engine", target = "spawn:" .. id, body = body }
  end
end

-- Transitions -------------------------------------------------------------------------------------------------------

function step:enter(reaction)
  self.state.reaction = reaction.name
  self.state.reacted = self.now
  self.state.memory = {}
  self.due = reaction.expiry and self.now + reaction.expiry.after or nil
end

function step:end_children()
  for _, child in ipairs(self.state.children) do
    self:message { topic = "engine", target = "terminate:" .. child, body = { by = self.id, at = self.now } }
  end
  self.state.children = json.array {}
end

---Ends the thred: its children are told, it relays broadcasts for a while if its pattern allows that.
---@param by string? the thred that ended it
function step:finish(by)
  self:end_children()
  local parent = self.state.parent
  if parent and parent ~= by then
    self:message { topic = "engine", target = "ended:" .. parent, body = { child = self.id } }
  end
  self.state.memory = {}
  if self.pattern.broadcast_allowed then
    self.state.status = "finished"
    self.due = self.now + self.pattern.finished_keep
  else
    self.state.status = "terminated"
    self.due = nil
  end
end

---@return table|nil the event to apply next, string the name of where it went
function step:transition(t)
  if t.name == "$noTransition" then return nil, "$noTransition" end
  local index
  if t.name == "$next" then
    index = self.pattern.by_name[self.state.reaction] + 1
  elseif t.name ~= "$terminate" then
    index = self.pattern.by_name[t.name]
    if not index then self:fail("transition", ("there is no reaction %q"):format(t.name)) end
  end
  local reaction = index and self.pattern.reactions[index]
  local feed = t.input == "forward" and self.event
    or t.input == "local" and self:local_event(t.local_name, "transition") or nil
  if not reaction then
    self:finish()
    return nil, "$terminate"
  end
  self:enter(reaction)
  return feed, reaction.name
end

-- Applying ----------------------------------------------------------------------------------------------------------

function step:write_log(outcome, from, to)
  self.trail[#self.trail + 1] = { outcome = outcome, from = from, to = to }
end

function step:remember(m)
  for path in next, m.remember do threds.own(self.state, "memory")[path] = true end
  for path in next, m.forget do threds.own(self.state, "memory")[path] = nil end
  for i = 1, #m.on_true do self:write_with("on_true", m.on_true[i].on_true) end
end

local NEXT = { name = "$next", input = "default" }

function step:carry_out(d)
  local from = self.state.reaction
  if d.transform then
    local head, data, tail, re = template.render(d.transform, self)
    if d.publish then self:publish(d.publish, head, data, tail, re) end
  end
  local feed, to = self:transition(d.transition or NEXT)
  if d.spawn then
    self:spawn(d.spawn, from)
    if self.state.status ~= "active" then self:end_children() end
  end
  return feed, to
end

function step:echo(took_part)
  local e = self.event
  if not self.pattern.echo_responses or e.type ~= "org.wt.client.tell" or not took_part then return end
  self.engine.builtin.echo(self)
end

---Applies the step's event to the current reaction, and on while a transition supplies an input.
---@return string outcome of the first application
function step:apply()
  local first
  for _ = 1, TRANSITION_LIMIT do
    local from = self.state.reaction
    local m = self:match(self:reaction())
    first = first or m.outcome
    if m.outcome == "not_matched" then
      self:write_log("not_matched", from, from)
      return first
    end
    local took_part = threds.takes_part(self.state, self.source)
    self:remember(m)
    if m.outcome == "partial" then
      self:join(self.source)
      self:write_log("partial", from, from)
      return first
    end
    local feed, to = self:carry_out(m.directives)
    self:echo(took_part)
    if not took_part then self:join(self.source) end
    self:write_log("matched", from, to)
    if not feed then return first end
    self:take(feed)
  end
  self:fail("transition", ("more than %d transitions in one step: a loop of forwards"):format(TRANSITION_LIMIT))
end

---The reaction's time is over.
function step:expire()
  local from = self.state.reaction
  local expiry = self:reaction().expiry
  local feed, to = self:transition(expiry.transition or NEXT)
  self:write_log("expired", from, to)
  if feed and self.state.status == "active" then
    self:take(feed)
    self:apply()
  end
end

-- Taking back ---------------------------------------------------------------------------------------------------------

local LISTS = { "events", "messages", "joined", "trail", "notes", "log" }

---Where the step stands, for back.
function step:mark()
  local m = {}
  for k, v in pairs(self.state) do m[k] = v end
  m.position, m.due, m.lengths = self.position, self.due, {}
  for _, name in ipairs(LISTS) do m.lengths[name] = #(self[name] or {}) end
  m.bytes, m.reads = threds.encode(self.state), self.reads and json.copy(self.reads)
  return m
end

---The step as it was at the mark, with its limits and random numbers anew.
function step:back(m)
  local s = {}
  for k, v in pairs(self) do
    if type(k) == "string" then s[k] = v end -- other keys are core.script's: what the scripts have used
  end
  s.writable = false
  self = setmetatable(s, step)
  for _, name in ipairs(LISTS) do
    for i = #(self[name] or {}), m.lengths[name] + 1, -1 do self[name][i] = nil end
  end
  self.position, self.due, self.reads, self.event, self.source = m.position, m.due, m.reads, nil, nil
  self.state = threds.decode { state = m.bytes, pattern = m.pattern, version = m.version, reaction = m.reaction,
    status = m.status, started = m.started, reacted = m.reacted }
  return self
end

-- Commit ------------------------------------------------------------------------------------------------------------

-- The record of a step with one transition and nothing else to say: the same few texts again and again.
-- pattern -> outcome -> from -> to -> text
local records = script.weak "k"

local function at(t, key)
  local inner = t[key]
  if not inner then
    inner = {}
    t[key] = inner
  end
  return inner
end

local function record_of_step(self)
  local first = self.trail[1]
  if #self.trail ~= 1 or self.reads or not first.from or self.upgraded or self.input then
    return { log = json.array(self.trail), reads = self.reads, input = self.input, overdue = self.overdue, tried = self.tried,
      upgraded = self.upgraded and { from = self.upgraded, to = self.state.version } or nil }
  end
  local known = at(at(at(records, self.pattern), first.outcome), first.from)
  local text = known[first.to]
  if not text then
    text = json.encode { log = json.array(self.trail) }
    known[first.to] = text
  end
  return text
end

local function state_of(self)
  local ok, bytes = pcall(threds.encode, self.state)
  if ok then return bytes end
  local last = self.trail[#self.trail]
  self:fail("locals", threds.mistake(bytes), { code = bytes.code, reaction = last and last.from })
end

---Commits a step that changes what most do: no messages, an old thred that lives on.
function step:advance(outcome, delivery, after)
  local s = self.state
  self.handle:advance(delivery.n, outcome, record_of_step(self), state_of(self), s.pattern, s.version, s.reaction, s.status,
    s.reacted, self.due, self.joined, self.events, after)
end

---The changeset of this step. Valid until the next one is asked for: the store reads it at once.
function step:changes(outcome, delivery)
  if delivery and delivery.tries then self.input = self.input or { kind = "retry", at = delivery.at } end
  local s, c = self.state, self.engine.changes
  local bytes = state_of(self)
  c.delivery, c.outcome, c.rec, c.state = delivery, outcome, record_of_step(self), bytes
  c.pattern, c.version, c.reaction, c.status = s.pattern, s.version, s.reaction, s.status
  c.started, c.reacted, c.due, c.members = s.started, s.reacted, self.due, self.joined
  c.events, c.messages, c.ended, c.dead = self.events, self.messages, s.status == "terminated" or nil, self.dead
  return c
end

return step
