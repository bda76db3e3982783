-- SPDX-License-Identifier: MIT
-- The plain protocol of /ws, subprotocol srvthreds.v1: JSON frames, one key each (the agents page).
--
--   opened --token--> replaying (what came after lastSeen or the cursor) --> live
-- What is pushed while a session replays waits behind it.

local json = require "core.json"
local runtime = require "core.runtime"
local logs = require "core.log"
local codes = require "srvthreds.engine.codes"
local accept = require "srvthreds.session.accept"

local LOGIN_MS = 10000
local REPLAY_PAGE = 100
local REPLAY_AHEAD = 1 << 20 -- bytes that may wait for the reader; a replay is as fast as its reader, not faster
local REPLAY_PAUSE_MS = 5
local WAITING_MOST = 1000
local NOT_UTF8, TOO_LARGE = 1007, 1009 -- close codes

local session = {}
session.__index = session

local websocket = { protocol = "srvthreds.v1" }

local function send(self, frame) self.ws:send(json.encode(frame)) end

local function send_error(self, raised, id)
  local e = codes.of(raised)
  send(self, { error = { code = e.code, message = e.message, id = id } })
end

function session:push(event_id, bytes)
  local waiting = self.waiting
  if not waiting then
    self.ws:send('{"event":' .. bytes .. "}")
    return
  end
  if #waiting >= WAITING_MOST then -- a slow replay: it will find them in the inbox
    waiting, self.missed = {}, true
    self.waiting = waiting
  end
  waiting[#waiting + 1] = { id = event_id, bytes = bytes }
end

local function send_page(self, page, sent)
  for _, item in ipairs(page) do
    while not self.closed and self.ws:queued() > REPLAY_AHEAD do runtime.sleep(REPLAY_PAUSE_MS) end
    self.ws:send('{"event":' .. item.body .. "}")
    sent[item.id] = true
  end
end

-- Where a session begins: behind what was seen, else behind the newest event of the inbox; "" is its begin.
local function begin_of(self, last_seen)
  if last_seen ~= nil and last_seen ~= json.null then return last_seen end
  local store, who = self.agent.store, self.participant
  local seen = store:cursor(who)
  if seen then return seen end
  local newest = store:last_event(who)
  return newest and json.decode(newest.body).id or ""
end

-- Everything after the last seen event, in order, then what was pushed meanwhile and wasn't in it.
local function replay(self, last_seen)
  local sent, last, more = {}, last_seen ~= "" and last_seen or nil, true
  while more and not self.closed do
    self.missed = false
    local page, gone = self.agent.store:inbox(self.participant, last, REPLAY_PAGE)
    if not page then
      send_error(self, codes.error(codes.not_found, gone == "gone"
        and "what came after lastSeen isn't kept any more: load it with getEvents" or "lastSeen is no event of your inbox"), last_seen)
      break
    end
    send_page(self, page, sent)
    last = #page > 0 and page[#page].id or last
    more = #page > 0 or self.missed
  end
  local waiting = self.waiting
  self.waiting = nil
  for _, item in ipairs(waiting) do
    if not sent[item.id] then self:push(item.id, item.bytes) end
  end
end

local function login(self, who, last_seen)
  if not who then
    send_error(self, codes.error(codes.unauthorized, "this token isn't valid: log in, or on a development server use a participant's id"))
    return self.ws:close(4401, "unauthorized")
  end
  self.participant, self.roles = who.id, who.roles
  self.login_timer:stop()
  local begin = begin_of(self, last_seen) -- before anything is pushed: it is behind, and replayed
  if self.closed then return end
  self.waiting, self.listed = {}, true
  self.agent.registry:add(self)
  send(self, { hello = { participantId = who.id, sessionId = self.id, version = self.agent.version, lastSeen = begin } })
  replay(self, begin)
end

local function on_event(self, event)
  local id = type(event) == "table" and type(event.id) == "string" and event.id or nil
  local ok, e = pcall(function()
    local doc = accept.prepare(event, { id = self.participant }, runtime.now())
    id = doc.id
    if self.agent.pressure then self.agent.pressure:wait_to_take() end
    local function answer(err)
      if err then return send_error(self, err, id) end
      send(self, { accepted = { id = id } })
    end
    accept.queue(self.agent.queue, doc, answer) -- a duplicate too is answered when the first is on disk
  end)
  if not ok then
    self.agent.refused:add()
    send_error(self, e, id)
  end
end

local function on_frame(self, bytes)
  local ok, frame = pcall(json.decode, bytes, self.agent.limits)
  if not ok then
    self.agent.refused:add()
    return send_error(self, frame)
  end
  if json.kind(frame) ~= "object" then return send_error(self, codes.error(codes.client, "a frame is an object with one key")) end
  if not self.participant then
    if frame.token == nil then
      return send_error(self, codes.error(codes.unauthorized, 'the first frame is {"token": "…", "lastSeen"?: id}'))
    end
    return login(self, self.agent.auth:check(frame.token), frame.lastSeen)
  end
  if frame.event ~= nil then return on_event(self, frame.event) end
  if frame.seen ~= nil then
    if type(frame.seen) ~= "string" or not self.agent.store:seen(self.participant, frame.seen) then
      send_error(self, codes.error(codes.not_found, "seen is the id of an event of your inbox"))
    end
    return
  end
  send_error(self, codes.error(codes.client, 'a frame has one of the keys event, seen; only the first one has token and lastSeen'))
end

-- Frames of one session are handled one after another, also while one waits.
local function drain(self)
  local i = 1
  while self.backlog[i] and not self.closed do
    local ok, e = pcall(on_frame, self, self.backlog[i])
    if not ok then self.agent.log.error("frame failed", { err = tostring(e) }) end
    i = i + 1
    if i > 64 then
      self.backlog = table.move(self.backlog, i, #self.backlog, 1, {})
      i = 1
    end
  end
  self.backlog, self.busy = {}, false
  if self.paused and not self.closed then
    self.paused = false
    self.ws:resume()
  end
end

local function on_message(self, bytes)
  local backlog = self.backlog
  backlog[#backlog + 1] = bytes
  if not self.busy then
    self.busy = true
    return drain(self)
  end
  if #backlog >= 16 and not self.paused then
    self.paused = true
    self.ws:pause()
  end
end

-- With the token as bearer no first frame is needed: lastSeen stands in the address then, /ws?lastSeen=ID.
local function on_bearer(self, who, last_seen)
  self.busy = true
  local ok, e = pcall(login, self, who, last_seen)
  if not ok then self.agent.log.error("login failed", { err = tostring(e) }) end
  drain(self)
end

---The handlers that core.net's listener takes for the path /ws.
---@param agent table { store, queue, auth, registry, limits, version, refused, log, wait }
function websocket.handlers(agent)
  agent.log = agent.log or logs.logger { module = "session" }
  return {
    protocol = websocket.protocol,
    on_open = function(ws, req)
      local self = setmetatable({ ws = ws, agent = agent, backlog = {}, id = accept.new_id():sub(1, 16) }, session)
      ws.data = self
      local bearer, last_seen = agent.auth.bearer(req), req.query.lastSeen
      self.login_timer = runtime.timer(function()
        if not self.participant and not self.closed then ws:close(4408, "no login in time") end
      end)
      self.login_timer:start(runtime.now() + LOGIN_MS)
      if bearer then on_bearer(self, agent.auth:check(bearer), last_seen) end
    end,
    on_message = function(ws, bytes) on_message(ws.data, bytes) end,
    on_close = function(ws, code)
      local self = ws.data
      if code == TOO_LARGE or code == NOT_UTF8 then agent.refused:add() end
      self.closed = true
      self.login_timer:stop()
      if self.listed then agent.registry:remove(self) end
    end,
  }
end

return websocket
