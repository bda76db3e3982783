-- SPDX-License-Identifier: MIT
-- POST /event and what answers when an event can't be taken: not ready, too many wait, stopped meanwhile.
local t = require "srvthreds.spec"
local codes = require "srvthreds.engine.codes"
local json = require "core.json"
local runtime = require "core.runtime"
local http = require "srvthreds.session.http"

local MIB = 1 << 20

-- A queue without room: accepts wait until `go` says what comes of them.
local function agent_of(accept)
  local agent = { waiting = 0, waiting_bytes = 0, limits = { size = MIB, depth = 100 }, refused = { n = 0 } }
  function agent.refused:add() self.n = self.n + 1 end
  agent.auth = { check = function() return { id = "ann" } end, bearer = function() return "x" end }
  agent.queue = { accept_event = accept }
  return agent
end

local function post(agent, id, size)
  local answer = {}
  local event = { id = id, type = "x", data = { content = { values = ("x"):rep(size or 1) } } }
  local req = { method = "POST", path = "/event", url = "/event", query = {}, body = json.encode(event) }
  function req.respond(_, status, body, headers)
    assert(not answer.status, "answered twice")
    answer.status, answer.body, answer.headers = status, json.decode(body), headers or {}
  end
  runtime.spawn(http.handle, agent, req)
  runtime.advance(0)
  return answer
end

t.test("a queue that isn't ready answers 503, to come again", function()
  local agent = agent_of(function() error(codes.error(codes.server, "can't accept an event: the disk is full"), 0) end)
  local answer = post(agent, "a")
  t.eq({ answer.status, answer.headers["Retry-After"] }, { 503, "1" })
  t.eq({ answer.body.error.code, answer.body.error.message }, { 5000, "can't accept an event: the disk is full" })
  t.eq({ agent.waiting, agent.waiting_bytes }, { 0, 0 })
end)

t.test("an event that was accepted and could not be put on disk answers 503", function()
  local agent = agent_of(function(_, _, _, told)
    runtime.later(told, codes.error(codes.server, "the disk is full"))
    return "accepted", 1
  end)
  local answer = post(agent, "a")
  runtime.advance(0)
  t.eq({ answer.status, answer.headers["Retry-After"], answer.body.error.code }, { 503, "1", 5000 })
end)

local function full_queue()
  local gates = {}
  return agent_of(function(_, _, _, told)
    local gate = runtime.channel()
    gates[#gates + 1] = gate
    gate:take()
    runtime.later(told)
    return "accepted", #gates
  end), function()
    for _, gate in ipairs(gates) do gate:put(true) end
    runtime.advance(0)
    runtime.advance(0)
  end
end

t.test("requests wait for room, up to a bound in bytes", function()
  local agent, go = full_queue()
  local answers = {}
  for i = 1, 50 do answers[i] = post(agent, "e" .. i, MIB - 1000) end
  local waiting, told = 0, 0
  for _, answer in ipairs(answers) do
    if not answer.status then waiting = waiting + 1 end
    if answer.status == 503 and answer.headers["Retry-After"] == "1" and answer.body.error.message:find "same id" then
      told = told + 1
    end
  end
  t.eq({ waiting, told }, { 32, 18 })
  t.ok(not post(agent, "small", 10).status) -- a small one still finds room
  go()
  for i = 1, 32 do t.eq({ answers[i].status, answers[i].body.id }, { 200, "e" .. i }) end
  t.eq({ agent.waiting, agent.waiting_bytes }, { 0, 0 })
  local again = post(agent, "e50", MIB - 1000)
  go()
  t.eq(again.status, 200)
end)

t.test("requests wait for room, up to a bound in number", function()
  local agent, go = full_queue()
  local answers, counts = {}, {}
  for i = 1, 4100 do answers[i] = post(agent, "e" .. i) end
  for i = 4097, 4100 do t.eq(answers[i].status, 503) end
  go()
  for _, answer in ipairs(answers) do counts[answer.status] = (counts[answer.status] or 0) + 1 end
  t.eq({ counts[200], counts[503], agent.waiting }, { 4096, 4, 0 })
end)

return t.finish()
