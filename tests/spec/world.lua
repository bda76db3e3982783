-- SPDX-License-Identifier: MIT
-- A whole engine in virtual time, on an in-memory store: what the engine's specs are written with.

local runtime = require "core.runtime"
local records = require "core.records"
local stores = require "core.store"
local directory = require "srvthreds.directory"
local engine = require "srvthreds.engine"
local load = require "srvthreds.pattern.load"
local patterns = require "srvthreds.engine.patterns"
local replay = require "srvthreds.engine.replay"
local report = require "srvthreds.pattern.report"
local threds = require "srvthreds.engine.thred"
local accept = require "srvthreds.session.accept"
local json = require "core.json"

local world = {}
world.__index = world

---Runs fn as a task to its end and gives back what it returned.
local function task(fn)
  local result
  runtime.spawn(function() result = table.pack(pcall(fn)) end)
  runtime.advance(0)
  assert(result, "the task still waits")
  if not result[1] then error(result[2], 2) end
  return table.unpack(result, 2, result.n)
end
world.task = task

local FACTS = {
  participants = { ann = {}, bob = {}, cid = {}, dee = { roles = { "boss" } } },
  groups = { group0 = { "ann", "bob" } },
}

---@param options table? { url, facts, max_pages, pauses, inbox_keep }
function world.new(options)
  options = options or {}
  local self = setmetatable({ inboxes = {}, n = 0, facts = options.facts or FACTS, url = options.url or "memory:",
    max_pages = options.max_pages, pauses = options.pauses, inbox_keep = options.inbox_keep }, world)
  task(function() self:open() end)
  return self
end

function world:open()
  self.store, self.queue = stores.open { url = self.url, queue = "local:", max_pages = self.max_pages,
    inbox_keep = self.inbox_keep }
  self.records = records.open(self.store)
  self.directory = directory.new(self.facts)
  self.patterns = patterns.new(self.store)
  self.patterns:load()
  self.engine = engine.new {
    store = self.store, queue = self.queue, patterns = self.patterns, directory = self.directory, pauses = self.pauses,
    records = self.records,
    push = function(who, _, bytes)
      self.inboxes[who] = self.inboxes[who] or {}
      table.insert(self.inboxes[who], json.decode(bytes))
    end,
  }
  self.engine:start()
end

function world:shut()
  self.records:close()
  self.store:close()
end

---Closes the store and opens the same file again, `ms` later.
---@param ms integer?
function world:restart(ms)
  task(function() self:shut() end)
  runtime.advance(ms or 0)
  task(function() self:open() end)
end

---Whatever a spec did, it can be run again.
function world:close()
  self:replay()
  task(function() self:shut() end)
  runtime.advance(0)
end

---Loads a pattern from its source; the version is its hash.
---@param shown string? its file, as errors name it
---@param modules table<string, string>? path -> source
function world:pattern(source, shown, modules)
  local files = {}
  for path, text in pairs(modules or {}) do files[path] = text end
  return task(function()
    source = 'local p = require "srvthreds.pattern"\nreturn ' .. source
    local pattern, problems = load.load(source, shown or "test.lua", { host = require "srvthreds.engine.host", modules = modules })
    if not pattern then
      local text = {}
      for _, p in ipairs(problems) do text[#text + 1] = p.message end
      error(table.concat(text, "\n"))
    end
    pattern.version = runtime.sha256(source)
    files["test.lua"] = source
    self.store:put_pattern { id = pattern.id, hash = pattern.version, files = files, file = "test.lua",
      at = runtime.now(), activate = true }
    self.patterns:use(pattern)
    return pattern
  end)
end

---Sends an event as `source`; returns its id and, when it has one by then, its outcome {outcome, threds, error}.
function world:send(event)
  self.n = self.n + 1
  local source = event.source or "ann"
  event.id = event.id or ("e%d"):format(self.n)
  event.source = nil
  if event.values then
    event.data = { content = { values = event.values } }
    event.values = nil
  end
  local doc = accept.prepare(event, { id = source }, runtime.now())
  local outcome
  local status, info = task(function()
    local s, i = accept.queue(self.queue, doc, nil)
    if s == "accepted" then self.engine:wait_for(i, function(r) outcome = r end) end
    return s, i
  end)
  if status ~= "accepted" then
    outcome = { outcome = status, threds = info.threds, first = info.outcome }
  end
  return doc.id, outcome or { outcome = "pending" }
end

---Sends and gives the outcome only.
function world:outcome(event)
  local _, o = self:send(event)
  return o
end

function world:advance(ms)
  runtime.advance(ms)
end

---What lies in the inbox of `who`, oldest first; emptied by the call.
function world:received(who)
  local list = self.inboxes[who] or {}
  self.inboxes[who] = nil
  return list
end

function world:titles(who)
  local t = {}
  for _, e in ipairs(self:received(who)) do t[#t + 1] = e.data and e.data.title or e.type end
  return table.concat(t, ", ")
end

---The stored thred, or nil: { id, status, reaction, step, due, state (decoded) }.
function world:thred(id)
  return task(function()
    local row = self.store:thred(id)
    if row and type(row.state) == "string" then row.state = threds.decode(row) end
    return row
  end)
end

function world:threds(filter)
  return task(function() return self.store:threds(filter or {}).items end)
end

function world:dead()
  return task(function() return self.store:dead {}.items end)
end

---Runs every stored thred again from its records alone.
function world:replay()
  local sum = task(function() return replay.new(self.store, self.engine.key):all() end)
  local text = {}
  for _, list in ipairs { sum.differences, self.swept and {} or sum.incomplete } do
    for _, r in ipairs(list) do text[#text + 1] = replay.text(r) end
  end
  if text[1] then error(table.concat(text, "\n"), 2) end
  return sum
end

world.report = report
return world
