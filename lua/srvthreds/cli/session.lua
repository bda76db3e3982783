-- SPDX-License-Identifier: MIT
-- A participant's session over /ws that outlives the server: it connects again by itself, with lastSeen, and sends again,
-- with the same ids, what was not accepted. Tasks only.
--
--   local s = session.new { connect = fn() → connection, token =, on_event = fn(event), on_state = fn(word, detail) }
--   s:run()                  -- until s:close(); raises if the first connection fails or the token is refused
--   s:send(event)            -- kept until it is accepted
local json = require "core.json"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local BACKOFF_MS, BACKOFF_MOST = 50, 1000
local REMEMBERED = 1000

local Session = {}
Session.__index = Session

local session = {}

---@param options table
function session.new(options)
  return setmetatable({ options = options, outbox = {}, shown = {}, shown_order = {}, first = true }, Session)
end

local function frame_bytes(frame)
  return json.encode(frame)
end

local function write(self, frame)
  if not self.connection then return false end
  return (pcall(self.connection.send, self.connection, frame_bytes(frame)))
end

---Sends an event that has an id; at once if there is a connection, else after the next one.
function Session:send(event)
  self.outbox[#self.outbox + 1] = event
  if self.ready then write(self, { event = event }) end
end

local function take_out(self, id)
  for i, event in ipairs(self.outbox) do
    if event.id == id then return table.remove(self.outbox, i) end
  end
end

---Has everything been accepted?
function Session:idle()
  return #self.outbox == 0
end

local function is_new(self, id)
  if id == nil then return true end
  if self.shown[id] then return false end
  self.shown[id] = true
  local order = self.shown_order
  order[#order + 1] = id
  if #order > 2 * REMEMBERED then
    for i = 1, REMEMBERED do self.shown[order[i]] = nil end
    self.shown_order = table.move(order, REMEMBERED + 1, #order, 1, {})
  end
  return true
end

local function on_error(self, e)
  local refused = e.id and take_out(self, e.id)
  if not self.ready and not e.id then
    error(problem.new("no_token", tostring(e.message), { hint = self.options.token_hint }), 0)
  end
  self.options.on_state("refused", { error = e, event = refused })
end

local function on_hello(self, hello)
  self.ready = true
  self.last_seen = self.last_seen or hello.lastSeen
  self.options.on_state(self.first and "hello" or "back", hello)
  self.first, self.told = false, false
  for _, event in ipairs(self.outbox) do write(self, { event = event }) end
end

local function on_frame(self, frame)
  if frame.hello then
    on_hello(self, frame.hello)
  elseif frame.event then
    if is_new(self, frame.event.id) then self.options.on_event(frame.event) end
    self.last_seen = frame.event.id or self.last_seen
    if frame.event.id then write(self, { seen = frame.event.id }) end
  elseif frame.accepted then
    local event = take_out(self, frame.accepted.id)
    if event then self.options.on_state("accepted", event) end
  elseif frame.error then
    on_error(self, frame.error)
  end
end

local function read_all(self)
  while not self.closed do
    local bytes = self.connection:receive()
    if not bytes then return end
    on_frame(self, json.decode(bytes))
  end
end

local function connect(self)
  local ok, connection = pcall(self.options.connect)
  if not ok then
    if self.first then error(connection, 0) end
    return false
  end
  self.connection, self.ready = connection, false
  return write(self, { token = self.options.token, lastSeen = self.last_seen })
end

local function lost(self)
  self.ready = false
  if self.connection then pcall(self.connection.close, self.connection) end
  self.connection = nil
  if self.closed or self.told then return end
  self.told = true
  self.options.on_state("away")
end

function Session:run()
  local wait = BACKOFF_MS
  while not self.closed do
    if connect(self) then
      read_all(self)
      if self.ready then wait = BACKOFF_MS end
    end
    lost(self)
    if self.closed then return end
    runtime.sleep(wait)
    wait = math.min(wait * 2, BACKOFF_MOST)
  end
end

function Session:close()
  self.closed = true
  if self.connection then pcall(self.connection.close, self.connection) end
end

return session
