-- SPDX-License-Identifier: MIT
-- What lua_net_test.c talks to.
local net = require "core.net"
_G.rt = require "core.runtime"

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
