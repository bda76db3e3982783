-- SPDX-License-Identifier: MIT
-- What lua_net_test.c talks to.
local net = require "core.net"
_G.rt = require "core.runtime"

-- luacheck: globals server stream
_G.gate = rt.channel()
_G.holding, _G.held = 0, 0

local routes = {}

routes["/echo me"] = function(req)
  local q = req.query
  local text = table.concat({ req.method, req.path, q.a, q.b, q.c, req.body, req:header("x-one"), req.peer,
    tostring(req:header("x-two")) }, "|")
  req:respond(201, text, { ["X-Number"] = 12 })
end
routes["/wait"] = function(req)
  rt.sleep(20)
  req:respond(200, "waited")
end
routes["/never"] = function(req)
  rt.channel():take()
  req:respond(200)
end
routes["/quick"] = function(req) req:respond(200, "quick") end
routes["/silent"] = function() end
routes["/crash"] = function() error "oops" end
routes["/late-crash"] = function()
  rt.sleep(5)
  error "oops later"
end
routes["/twice"] = function(req)
  req:respond(200, "once")
  req:respond(200, "twice")
end
local function refusal(code, message)
  return function() error(setmetatable({ code = code, message = message }, debug.getregistry()["srvthreds.error"])) end
end
routes["/refuse"] = refusal(4200, 'bad "x"')
routes["/unauthorized"] = refusal(4101, "no")

routes["/stream"] = function(req)
  _G.stream = req:stream(200, { ["Content-Type"] = "text/event-stream", ["X-Number"] = 12 }, function(s, why)
    assert(s == stream and not s.open and s:send "late" == nil and s:queued() == 0)
    s:close()
    _G.stream_ended = why
  end)
  assert(not pcall(req.respond, req, 200))
  _G.first_send = stream:send "first "
  rt.sleep(5)
  stream:send "second"
end
routes["/stream-plain"] = function(req)
  local s = req:stream(201)
  s:send "all of it"
  s:close()
  s:close()
  assert(not s.open and s:send "x" == nil)
end
routes["/stream-crash"] = function(req)
  req:stream(200, nil, function(_, why) _G.stream_ended = why end):send "begun"
  rt.sleep(5)
  error "oops in a stream"
end
routes["/stream-none"] = function(req) req:stream(204) end
routes["/stream-bad"] = function(req) req:stream(200, {}, "no function") end

_G.server = net.listen {
  host = "127.0.0.1",
  port = 0,
  limits = { messages = 4 },
  on_request = function(req) routes[req.path](req) end,
  websockets = {
    ["/ws"] = {
      protocol = "srvthreds.v1",
      on_open = function(ws, req)
        ws.data = { n = 0 }
        ws:send(("hello %s %s"):format(ws.peer, tostring(req:header "authorization")))
      end,
      on_message = function(ws, bytes)
        if bytes == "hold" then
          _G.holding = holding + 1
          gate:take()
          _G.held = held + 1
        elseif bytes == "bye" then
          ws:send "bye bye"
          ws:close(4001, "done")
        else
          ws.data.n = ws.data.n + 1
          ws:send(ws.data.n .. ":" .. bytes)
        end
      end,
      on_close = function(ws, code)
        assert(ws:send "late" == nil)
        _G.closed = code
      end,
    },
  },
}

local function fails(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "it should have failed")
  assert(tostring(err.message):find(pattern), err.message)
end

local function try_client()
  local base = "127.0.0.1:" .. server.port
  local answer = net.request { method = "POST", url = "http://" .. base .. "/echo%20me?a=1&b=2&c=3", body = "hi",
    headers = { ["X-One"] = "first" } }
  assert(answer.status == 201 and answer.headers["x-number"] == "12")
  assert(answer.body == "POST|/echo me|1|2|3|hi|first|127.0.0.1|nil", answer.body)
  assert(net.request { url = "http://localhost:" .. server.port .. "/quick" }.body == "quick")
  assert(net.request { method = "HEAD", url = "http://" .. base .. "/quick" }.body == "")
  assert(net.request { url = "http://" .. base .. "/refuse" }.status == 400)
  fails("expected http://", net.request, { url = "ftp://x" })
  fails("in time", net.request, { url = "http://" .. base .. "/never", timeout_ms = 50 })
  fails("cannot connect", net.request, { url = "http://127.0.0.1:1/" })

  local c = net.connect("ws://" .. base .. "/ws", { protocol = "srvthreds.v1", headers = { Authorization = "Bearer x" } })
  assert(c:receive() == "hello 127.0.0.1 Bearer x")
  local nothing, why = c:receive(20)
  assert(nothing == nil and why == "timeout")
  assert(c:send "one")
  assert(c:receive(5000) == "1:one")
  local big = ("x"):rep(100000)
  for _ = 1, 3 do c:send(big) end
  for i = 2, 4 do assert(c:receive() == i .. ":" .. big) end
  c:send "bye"
  assert(c:receive() == "bye bye")
  nothing, why = c:receive()
  assert(nothing == nil and why == "closed 4001", why)
  assert(not c:send "x")
  fails("refused the WebSocket", net.connect, "ws://" .. base .. "/nowhere")
  fails("refused the WebSocket", net.connect, "ws://" .. base .. "/ws", { protocol = "other" })
  fails("cannot connect", net.connect, "ws://127.0.0.1:1/")
  local d = net.connect("ws://" .. base .. "/ws", { protocol = "srvthreds.v1" })
  d:close()
  local got
  repeat got, why = d:receive() until not got
  assert(why == "closed 1000", why)
end

function _G.client()
  local ok, err = xpcall(try_client, function(e) return debug.traceback(tostring(type(e) == "table" and e.message or e)) end)
  _G.finished = ok and "yes" or err
end

function _G.half_a_client()
  local c = net.connect("ws://127.0.0.1:" .. server.port .. "/ws", { protocol = "srvthreds.v1" })
  c:receive()
  c:send "hold"
  _G.half = true
  c:receive()
end

function _G.half_a_request() net.request { url = "http://127.0.0.1:" .. server.port .. "/never" } end
