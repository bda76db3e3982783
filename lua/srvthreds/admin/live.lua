-- SPDX-License-Identifier: MIT
-- GET /api/live: the live feed.
--
-- Over a WebSocket: the token as bearer in the handshake, or {"token": "…"} as the first frame; then {"hello": {}},
-- and {"steps": [entry, …], "dropped": n} as they come. As Server-Sent Events: each answer carries what came since
-- the last one and ends; an EventSource comes back by itself, with Last-Event-ID, and nothing falls between.
-- Both take ?pattern=ID and ?thred=ID.

local json = require "core.json"
local runtime = require "core.runtime"
local auths = require "srvthreds.auth"

local LOGIN_MS, HOLD_MS, KEEP_MS, KEEP_MOST = 10000, 15000, 30000, 1000
local HEADERS = { ["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-store" }

local function filter_of(query)
  local pattern, thred = query and query.pattern, query and query.thred
  if not pattern and not thred then return nil end
  return function(entry)
    return (not pattern or entry.pattern == pattern) and (not thred or entry.thred == thred)
  end
end

-- Server-Sent Events ------------------------------------------------------------------------------------------------

-- One reader over several requests: what comes between two of them is kept for a while.
local function reader_new(admin, query)
  local reader = { entries = {}, first = 1, last = 0, dropped = 0, channel = runtime.channel(), used = runtime.now() }
  reader.stop = admin.feed:watch(function(entries, dropped)
    reader.dropped = reader.dropped + dropped
    for _, entry in ipairs(entries) do
      reader.last = reader.last + 1
      reader.entries[reader.last] = entry
    end
    while reader.last - reader.first >= KEEP_MOST do
      reader.entries[reader.first] = nil
      reader.first, reader.dropped = reader.first + 1, reader.dropped + 1
    end
    if reader.waiting then reader.channel:put(true) end
  end, filter_of(query))
  return reader
end

-- Readers that nobody has come back to go.
local function sweep(readers)
  local now, left = runtime.now(), false
  for id, reader in pairs(readers) do
    if not reader.waiting and now - reader.used > KEEP_MS then
      reader.stop()
      readers[id] = nil
    end
    left = left or readers[id] ~= nil
  end
  return left
end

local function sweep_later(admin)
  local readers = admin.readers
  if readers.timer_on then return end
  readers.timer_on = true
  readers.timer = readers.timer or runtime.timer(function()
    readers.timer_on = false
    if sweep(readers.by_id) then sweep_later(admin) end
  end)
  readers.timer:start(runtime.now() + KEEP_MS)
end

-- Last-Event-ID is READER.NUMBER.
local function reader_of(admin, call)
  admin.readers = admin.readers or { by_id = {} }
  local readers = admin.readers.by_id
  local id, after = (call.req:header "last-event-id" or ""):match "^(%x+)%.(%d+)$"
  if not readers[id or ""] then
    id = runtime.random_bytes(8):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    readers[id] = reader_new(admin, call.query)
    sweep_later(admin)
    after = 0
  end
  return id, readers[id], math.tointeger(tonumber(after)) or 0
end

-- What was seen is let go of, so that a reader that comes back with an older id gets the rest again, never less.
local function take(id, reader, after)
  local out = {}
  if reader.dropped > 0 then
    out[#out + 1] = ("event: dropped\ndata: {\"dropped\":%d}\n\n"):format(reader.dropped)
    reader.dropped = 0
  end
  for n = reader.first, math.min(after, reader.last) do reader.entries[n] = nil end
  reader.first = math.max(reader.first, math.min(after, reader.last) + 1)
  for n = reader.first, reader.last do
    out[#out + 1] = ("id: %s.%d\nevent: step\ndata: %s\n\n"):format(id, n, json.encode(reader.entries[n]))
  end
  return out
end

local function events(admin, call)
  local id, reader, after = reader_of(admin, call)
  if reader.last <= after and not reader.waiting then
    reader.waiting = true
    reader.channel:take(HOLD_MS)
    reader.waiting = false
  end
  reader.used = runtime.now()
  local out = take(id, reader, after)
  if #out == 0 then out[1] = ("id: %s.%d\nevent: idle\ndata: {}\n\n"):format(id, after) end
  call.req:respond(200, "retry: 50\n\n" .. table.concat(out), HEADERS)
end

-- WebSocket ---------------------------------------------------------------------------------------------------------

local function send(ws, frame) return ws:send(json.encode(frame)) end

local function begin(admin, ws, who, query)
  local data = ws.data
  data.who = who
  data.timer:stop()
  send(ws, { hello = { id = who.id, version = admin.version } })
  data.stop = admin.feed:watch(function(entries, dropped)
    send(ws, { steps = json.array(entries), dropped = dropped > 0 and dropped or nil })
  end, filter_of(query))
end

local function refuse(ws, code, message)
  send(ws, { error = { code = code, message = message } })
  ws:close(4401, "unauthorized")
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

local live = { { "GET", "/api/live", events } }

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
