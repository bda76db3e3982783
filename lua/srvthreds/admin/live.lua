-- SPDX-License-Identifier: MIT
-- GET /api/live: the live feed, over a WebSocket or as Server-Sent Events (docs/admin-api.md). Both take ?pattern=ID and
-- ?thred=ID.

local json = require "core.json"
local runtime = require "core.runtime"
local api = require "srvthreds.admin.api"
local auths = require "srvthreds.auth"
local live_reader = require "srvthreds.admin.live_reader"

local LOGIN_MS = 10000
local QUERY = { "pattern", "thred" }
local AHEAD = 1 << 20 -- bytes that may wait for a WebSocket's reader; what is more is counted, not sent
local HEADERS = { ["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-store", ["X-Accel-Buffering"] = "no" }

local function filter_of(query)
  local pattern, thred = query and query.pattern, query and query.thred
  if not pattern and not thred then return nil end
  return function(entry)
    return (not pattern or entry.pattern == pattern) and (not thred or entry.thred == thred)
  end
end

-- Server-Sent Events ------------------------------------------------------------------------------------------------

-- Whose reader it is, of what.
local function key_of(call)
  return json.encode { call.who, call.query.pattern or json.null, call.query.thred or json.null }
end

---@return srvthreds.admin.LiveReader reader, integer after, boolean lost: it was here before, and nobody knows where
local function reader_of(admin, call)
  admin.readers = admin.readers or {}
  local readers, key, last = admin.readers, key_of(call), call.req:header "last-event-id"
  local id, number = (last or ""):match "^(%x+)%.(%d+)$"
  local reader = readers[id or ""]
  if reader and reader.options.key == key then return reader, math.tointeger(tonumber(number)) or 0, false end
  reader = live_reader.new(admin.feed, {
    filter = filter_of(call.query), key = key, gone = function(gone) readers[gone.id] = nil end,
  })
  readers[reader.id] = reader
  return reader, 0, last ~= nil
end

local function events(admin, call)
  local reader, after, lost = reader_of(admin, call)
  local hello = { id = call.who, version = admin.version }
  local stream = call.req:stream(200, HEADERS, function(stream) reader:detach(stream) end)
  reader:attach(stream, hello, after)
  if lost then
    stream:send(live_reader.event("gap", { reason = "where you were isn't known any more: too long ago, or the system was restarted" }))
  end
  if not stream.open then reader:detach(stream) end
end

-- WebSocket ---------------------------------------------------------------------------------------------------------

local function send(ws, frame) return ws:send(json.encode(frame)) end

local function refuse(ws, code, message, close, reason)
  send(ws, { error = { code = code, message = message } })
  ws:close(close or 4401, reason or "unauthorized")
end

local function begin(admin, ws, who, query)
  local data = ws.data
  local ok, e = pcall(api.check_keys, query or {}, QUERY, "query")
  if not ok then return refuse(ws, e.code, e.message, 4400, "bad request") end
  data.who = who
  data.timer:stop()
  send(ws, { hello = { id = who.id, version = admin.version } })
  local missing = 0
  data.stop = admin.feed:watch(function(entries, dropped)
    missing = missing + dropped
    if ws:queued() > AHEAD then
      missing = missing + #entries
      return
    end
    send(ws, { steps = json.array(entries), dropped = missing > 0 and missing or nil })
    missing = 0
  end, filter_of(query))
end

local function login(admin, ws, bytes)
  local ok, frame = pcall(json.decode, bytes)
  local token = ok and type(frame) == "table" and frame.token or nil
  local who, _, code, message = admin:authorize(token)
  if not who then return refuse(ws, code, message) end
  begin(admin, ws, who, ws.data.query)
end

local function on_open(admin, ws, req)
  ws.data = { query = req.query, timer = runtime.timer(function() ws:close(4408, "no login in time") end) }
  local token = auths.bearer(req)
  if not token then
    ws.data.timer:start(runtime.now() + LOGIN_MS)
    return
  end
  local who, _, code, message = admin:authorize(token)
  if not who then return refuse(ws, code, message) end
  begin(admin, ws, who, req.query)
end

local function on_close(ws)
  ws.data.timer:stop()
  if ws.data.stop then ws.data.stop() end
end

local live = { { "GET", "/api/live", events, query = QUERY } }

---Handlers for core.net's listener.
function live.websocket(admin)
  return {
    on_open = function(ws, req) on_open(admin, ws, req) end,
    on_message = function(ws, bytes)
      if not ws.data.who then login(admin, ws, bytes) end
    end,
    on_close = on_close,
  }
end

return live
