-- SPDX-License-Identifier: MIT
-- Runs agents: takes the messages of their queue, calls what the file declares, sends the answer. Unlike a pattern an
-- agent may wait. Its sends and "this message is handled" are one commit, and their ids derive from the message, so that
-- handling it again after a crash repeats nothing.

local json = require "core.json"
local runtime = require "core.runtime"
local script = require "core.script"
local logs = require "core.log"
local accept = require "srvthreds.session.accept"
local budget = require "srvthreds.engine.budget"
local codes = require "srvthreds.engine.codes"
local declaration = require "srvthreds.agent.declaration"
local documents = require "srvthreds.agent.documents"
local durations = require "srvthreds.durations"
local events = require "srvthreds.engine.event"
local failure = require "srvthreds.engine.failure"
local ids = require "srvthreds.engine.ids"
local pauses = require "srvthreds.agent.pauses"

local runner = {}
runner.__index = runner

local LIMITS = { cpu = 2000, wall = 300000, memory = 64 << 20 }

---@param options table { store, queue, directory, docdb?, pauses: srvthreds.PauseOptions? }
function runner.new(options)
  local self = setmetatable({
    store = options.store, queue = options.queue, directory = options.directory, key = options.store:key(),
    docdb = options.docdb,
    log = logs.logger { module = "agent" }, agents = {},
  }, runner)
  self.pauses = pauses.new(options.store, options.pauses, function(id) self:turn(id) end)
  return self
end

-- What an agent's script sees beside the whitelist.
local function environment(node)
  local loaded = {
    ["srvthreds.agent"] = script.freeze(require "srvthreds.agent", "srvthreds.agent"),
    ["srvthreds.docdb"] = documents.face(node),
  }
  return script.environment {
    sleep = function(duration) runtime.sleep(durations.ms(duration)) end,
    now = runtime.now,
    config = json.view(node.config, "config"),
    require = function(name)
      if type(name) ~= "string" then error(("require takes a module's name, not a %s"):format(type(name)), 2) end
      return loaded[name] or script.module(name)
        or error(("there is no module %q for agents: srvthreds.agent, srvthreds.docdb, cjson and cjson.safe are"):format(name), 2)
    end,
  }
end

---Compiles an agent's file. Returns its declaration and its limits, or nil and what is wrong.
function runner.load(node, source, file)
  local fn, e = script.load(source, "@" .. file, environment(node))
  if not fn then return nil, e end
  local ok, spec = script.call({ now = runtime.now(), seed = 1, log = {} }, LIMITS, fn)
  if not ok then return nil, spec.message end
  local read, wrong = declaration.read(spec)
  if not read then return nil, ("%s: %s"):format(file, wrong) end
  local own = read.limits or LIMITS
  local known, meter = pcall(script.meter, { pattern = "agent " .. node.id, version = runtime.sha256(source),
    cpu = own.cpu or LIMITS.cpu, wall = own.wall or LIMITS.wall, memory = own.memory or LIMITS.memory })
  if not known then return nil, ("%s: %s"):format(file, tostring(meter)) end
  return read, meter
end

-- Of one message, or of one call by the clock: the limits hold for all that is called with it together.
local function context()
  return { now = runtime.now(), seed = math.random(1 << 40) }
end

local function write_log(node, c)
  local lines = c.log
  c.log = nil
  for _, line in ipairs(lines or {}) do node.log.info(line) end
end

-- What a task gives is copied as a part of the script, under its limits; a doc is nobody's to change.
local function plain(v)
  if v == nil or type(v) == "userdata" and json.kind(v) == "object" then return v end
  return json.copy(v)
end

local function plainly(fn, ...)
  local v, second = fn(...)
  return plain(v), plain(second)
end

-- A script function; an error becomes an error table with the agent's name.
local function call(node, c, fn, ...)
  local ok, v, second = script.call(c, node.meter, fn, ...)
  write_log(node, c)
  if ok then return v, second end
  budget.failed("agent " .. node.id, nil, v.kind)
  budget.place(v, fn == plainly and ... or fn)
  node.runner.pauses:note(node, v)
  local code, message = codes.raised(v.value)
  error(codes.error(code or codes.task, codes.text(message or v.message), { file = v.file, line = v.line }), 0)
end

-- The error that on_event may return beside its values: a table with code and message, else it is none.
local function content_of(values, e)
  if values == nil and e == nil then return nil end
  local code, message = codes.raised(e)
  if e ~= nil and not (code and message) then
    e = { code = codes.server, message = "an agent's error is a table with code and message" }
  end
  return { values = values, error = e }
end

local function run_tasks(node, c, event, tasks)
  local results = {}
  for i, task in ipairs(tasks) do
    local fn = node.spec.tasks[task.name or ""]
    if not fn then
      error(codes.error(codes.task, ("task %d: agent %s has no task %q"):format(i, node.id, tostring(task.name))), 0)
    end
    local v = call(node, c, plainly, fn, task, event)
    results[i] = v == nil and json.null or v
  end
  if #results == 1 then return results[1] end
  return { result = json.array(results) }
end

local function answer(node, event, position, content)
  return {
    id = ids.answer(node.runner.key, node.id, event.id, position), type = node.spec.type, time = runtime.now(),
    re = event.id, thredId = event.thredId, causedBy = event.id, source = { id = node.id, name = node.spec.name },
    data = { title = node.id .. " Result", content = content },
  }
end

local function to_accept(doc, at)
  return { doc = doc, source = doc.source.id, id = doc.id, thred = doc.thredId, at = at, content = accept.content_of(doc) }
end

-- It is not handled: a dead letter, which can be tried again.
local function bury(node, delivery, err)
  node.log.warn("dead letter", { event_id = delivery.id, err_code = err.code, err = err.message })
  local stored = failure.stored(err)
  local ok, why = pcall(node.runner.queue.settle, node.runner.queue, delivery, {
    outcome = "error", rec = { error = stored, agent = node.id },
    dead = { target = "agent:" .. node.id, pattern = err.pattern or "agent " .. node.id, version = err.version, error = stored,
      attempts = (delivery.tries or 0) + (delivery.attempts or 0) },
  })
  if not ok then node.log.debug("not settled", { event_id = delivery.id, err = why }) end
end

-- Not to be handled, now or ever?
local function refused(node, delivery)
  if delivery.attempts >= failure.KILLS then return failure.end_of_process(delivery.attempts, delivery.ran) end
  return node.runner.pauses:is_paused(node.id) and node.runner.pauses:error_of(node.id)
end

-- A message for this agent: what it answers, as one commit with "handled".
local function handle(node, delivery)
  if node.runner.pauses:keeps(node.id) then return node.runner.queue:back(delivery) end
  local no = refused(node, delivery)
  if no then return bury(node, delivery, no) end
  local c = context()
  local event = events.doc(json.bytes(delivery.doc))
  local content
  local ok, e = pcall(function()
    local asked = event.content
    local tasks = asked and asked.tasks
    if tasks and (next(node.spec.tasks) or not node.spec.on_event) then
      content = { values = run_tasks(node, c, event, tasks) }
    elseif node.spec.on_event then
      content = content_of(call(node, c, plainly, node.spec.on_event, event))
    end
  end)
  if not ok then
    local err = codes.of(e)
    node.log.warn("agent failed", { event_id = event.id, err_code = err.code, err = err.message })
    content = { error = { code = err.code, message = err.message } }
  end
  local accepts = {}
  if content then
    local encoded, doc = pcall(function() return events.doc(json.encode(answer(node, event, 1, content))) end)
    if not encoded then
      doc = events.doc(json.encode(answer(node, event, 1, { error = { code = codes.task, message = tostring(doc) } })))
    end
    accepts[1] = to_accept(doc, runtime.now())
  end
  local queue, outcome = node.runner.queue, { outcome = "matched", rec = { agent = node.id }, accepts = accepts }
  local settled, why = pcall(queue.settle, queue, delivery, outcome)
  if not settled then -- a commit failed meanwhile: the message comes again, and its answer is the same event
    node.log.debug("not settled", { event_id = event.id, err = why })
  elseif accepts[1] then
    accept.count(accepts[1].doc.type)
  end
end

-- What an agent sends by itself, not in answer to a message.
local function send(node, event)
  if event.values ~= nil then
    event.data = event.data or {}
    event.data.content = event.data.content or {}
    event.data.content.values, event.values = event.values, nil
  end
  local doc = accept.prepare(event, { id = node.id, name = node.spec.name }, runtime.now())
  accept.queue(node.runner.queue, doc, nil)
  return doc.id
end

-- What `every` calls its function with. The fields are copied under the script's limits; the rest is no part of it.
local function face_of(node)
  local trusted = script.trusted(function(event) return send(node, event) end)
  return script.freeze({
    send = function(_, fields) return trusted(json.copy(fields)) end,
    config = json.view(node.config, "config"), id = node.id,
  }, "the agent")
end

local function start_timer(node)
  if node.timer then node.timer:stop() end
  node.timer = nil
  local every = node.spec.every
  if not every or node.runner.pauses:is_paused(node.id) then return end
  local interval, timer = every[1], nil
  local due = runtime.now() + (every.first or interval)
  local function fire()
    if node.stopped or node.timer ~= timer then return end
    local ok, e = pcall(call, node, context(), every[2], node.face)
    if not ok then node.log.warn("agent failed", { err = codes.of(e).message }) end
    due = math.max(due + interval, runtime.now())
    if node.timer == timer then timer:start(due) end
  end
  timer = runtime.timer(fire)
  node.timer = timer
  timer:start(due)
end

-- While it is paused its messages wait on disk, where nobody consumes them.
local function consume(node)
  local rests = node.runner.pauses:is_paused(node.id) and not node.runner.pauses:takes(node.id)
  node.runner.queue:consume(node.id, not rests and function(delivery) handle(node, delivery) end or nil)
end

---The agent is paused, or goes on.
function runner:turn(id)
  local node = self.agents[id]
  if not node or node.stopped then return end
  consume(node)
  start_timer(node)
end

local function use(node, spec, meter, source)
  node.spec, node.meter, node.version = spec, meter, runtime.sha256(source)
  node.runner.directory:register { id = node.id, type = spec.type, address = spec.address }
  node.runner.pauses:used(node)
  start_timer(node)
end

---Starts an agent from its file.
---@param options table { id, file, source, config }
function runner:start(options)
  local node = { runner = self, id = options.id, config = options.config or {}, file = options.file,
    log = logs.logger { module = "agent", instance = options.id } }
  node.face = face_of(node)
  local spec, meter = runner.load(node, options.source, options.file)
  if not spec then error(codes.error(codes.server, ("agent %s can't start: %s"):format(options.id, meter)), 0) end
  use(node, spec, meter, options.source)
  self.agents[options.id] = node
  consume(node)
end

---A changed file: compiled first; a bad one changes nothing.
---@return boolean|nil ok, string? what is wrong
function runner:reload(file, source)
  local found = false
  for _, node in pairs(self.agents) do
    if node.file == file then
      local spec, meter = runner.load(node, source, file)
      if not spec then return nil, meter end
      use(node, spec, meter, source)
      found = true
    end
  end
  return found
end

function runner:stop()
  self.pauses:stop()
  for _, node in pairs(self.agents) do
    node.stopped = true
    if node.timer then node.timer:stop() end
  end
end

return runner
