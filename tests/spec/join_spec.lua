-- SPDX-License-Identifier: MIT
-- Questions, answers, and a session that outlives its server; the server is a table here.
local event_words = require "srvthreds.cli.event_words"
local json = require "core.json"
local questions = require "srvthreds.cli.questions"
local runtime = require "core.runtime"
local session = require "srvthreds.cli.session"
local t = require "srvthreds.spec"

local function question_event(id, input)
  return json.decode(json.encode {
    id = id, thredId = "t1", type = "org.wt.tell",
    data = { title = "Ask", advice = { eventType = "org.wt.client.tell", template = { interactions = {
      { interaction = { content = { { map = { locations = {} } }, { input = input } } } } } } } },
  })
end

local robot = { type = "boolean", name = "deploy", display = "Send a robot?",
  set = { { display = "Yes", value = true }, { display = "No", value = false } } }

t.test("what is asked and what is only shown", function()
  local asked, shown = questions.of(question_event("e1", robot))
  t.eq(#asked, 1)
  t.eq(asked[1].name, "deploy")
  t.eq(asked[1].text, "Send a robot?")
  t.eq(questions.choices_text(asked[1]), "1 Yes   2 No")
  t.eq(#shown, 1)
  t.eq(#questions.of(json.decode('{"data":{"advice":{"template":{"interactions":5}}}}')), 0)
  t.eq(#questions.of(json.decode('{"data":"x"}')), 0)
  t.eq(#questions.of(json.decode("{}")), 0)
end)

t.test("answers in a person's words", function()
  local asked = questions.of(question_event("e1", robot))[1]
  for words, value in pairs { ["1"] = true, yes = true, YES = true, y = true, [" true "] = true, ["2"] = false,
    No = false, n = false } do
    t.eq(questions.answer(asked, words), value, words)
  end
  local value, problem = questions.answer(asked, "maybe")
  t.eq(value, nil)
  t.eq(problem, "answer with one of: 1 Yes   2 No")
  t.eq(questions.answer({ type = "numeric" }, "1.5"), 1.5)
  t.eq(select(2, questions.answer({ type = "numeric" }, "x")), "answer with a number")
  t.eq(questions.answer({ type = "text" }, "free words"), "free words")
  local colours = { type = "nominal", multiple = true, choices = { { display = "Red", value = "r" },
    { display = "Blue", value = "b" } } }
  t.eq(json.encode(questions.answer(colours, "blue, 1")), '["b","r"]')
  t.eq(questions.answer(colours, "green"), nil)
end)

t.test("the answering event", function()
  local reply = questions.reply(question_event("e1", robot), { deploy = true }, "a1")
  t.eq(json.encode(reply),
    '{"data":{"content":{"values":{"deploy":true}}},"id":"a1","re":"e1","thredId":"t1","type":"org.wt.client.tell"}')
end)

t.test("events as people write them", function()
  t.eq(event_words.read { "type=a.b", "values.n=5", "values.s=text", "values.q=\"5\"", "thredId=t1", "data.title=Hi there" },
    { type = "a.b", thredId = "t1", data = { title = "Hi there", content = { values = { n = 5, s = "text", q = "5" } } } })
  t.eq(json.encode(event_words.read { '{"type": "a", "x": []}' }), '{"type":"a","x":[]}')
  t.raises(function() event_words.read { "type=a", "type.b=1" } end, "type is a value already")
  t.raises(function() event_words.read { "values.x=1" } end, "an event needs a type")
  t.raises(function() event_words.read { "type" } end, "neither JSON nor NAME=VALUE")
  t.raises(function() event_words.read { "{nonsense" } end, "the event: ")
  t.raises(function() event_words.read { "[1]" } end, "this is a JSON array")
  t.raises(function() event_words.read { "@/nowhere/x.json" } end, "/nowhere/x.json")
  t.ok(event_words.new_id():find("^%x+%-%x+%-4%x+%-a%x+%-%x+$"))
end)

-- A server that can be killed: what it got, and connections that end when it is down.
local function new_server()
  local server = { up = true, got = {}, connections = {} }
  function server.connect()
    if not server.up then error({ message = "refused" }, 0) end
    local connection = { channel = runtime.channel() }
    function connection.send(_, bytes)
      if not server.up then error({ message = "gone" }, 0) end
      local frame = json.decode(bytes)
      server.got[#server.got + 1] = frame
      server.on_frame(connection, frame)
    end
    function connection.receive(self) return self.channel:take() or nil, "closed" end
    function connection.close(self) self.channel:put(false) end
    server.connections[#server.connections + 1] = connection
    return connection
  end
  function server.push(frame)
    server.connections[#server.connections].channel:put(json.encode(frame))
  end
  function server.kill()
    server.up = false
    for _, connection in ipairs(server.connections) do connection.channel:put(false) end
  end
  function server.on_frame(_, frame)
    if frame.token then server.push { hello = { participantId = frame.token } } end
  end
  return server
end

local function join(server)
  local seen = { events = {}, states = {} }
  local s = session.new { connect = server.connect, token = "ann",
    on_event = function(event) seen.events[#seen.events + 1] = event.id end,
    on_state = function(word) seen.states[#seen.states + 1] = word end }
  runtime.spawn(function()
    local ok, e = pcall(s.run, s)
    seen.ended = ok or e
  end)
  return s, seen
end

t.test("after the server was killed it comes back with lastSeen and sends again what was not accepted", function()
  local server = new_server()
  local s, seen = join(server)
  server.push { event = { id = "e1" } }
  runtime.advance(1)
  s:send { id = "a1", type = "x" }
  t.eq(s:idle(), false)
  server.kill()
  runtime.advance(700)
  s:send { id = "a2", type = "x" }
  server.up, server.got = true, {}
  runtime.advance(1000)
  t.eq(server.got[1], { token = "ann", lastSeen = "e1" })
  t.eq(server.got[2].event.id, "a1")
  t.eq(server.got[3].event.id, "a2")
  server.push { accepted = { id = "a1" } }
  server.push { accepted = { id = "a2" } }
  server.push { event = { id = "e1" } }
  server.push { event = { id = "e2" } }
  runtime.advance(1)
  t.ok(s:idle())
  t.eq(seen.events, { "e1", "e2" })
  t.eq(seen.states, { "hello", "away", "back", "accepted", "accepted" })
  s:close()
  runtime.advance(1)
  t.eq(seen.ended, true)
end)

t.test("what is seen moves the cursor", function()
  local server = new_server()
  local s = join(server)
  server.push { event = { id = "e1" } }
  runtime.advance(1)
  t.eq(server.got[#server.got], { seen = "e1" })
  s:close()
  runtime.advance(1)
end)

t.test("a refused token ends it; a refused event doesn't", function()
  local server = new_server()
  function server.on_frame(_, frame)
    if frame.token then server.push { error = { code = 4101, message = "this token isn't valid" } } end
  end
  local _, seen = join(server)
  runtime.advance(1)
  t.eq(seen.ended.exit, 5)
  t.eq(seen.ended.message, "this token isn't valid")

  server = new_server()
  local s
  s, seen = join(server)
  s:send { id = "a1" }
  server.push { error = { code = 4000, message = "no type", id = "a1" } }
  runtime.advance(1)
  t.eq(seen.states, { "hello", "refused" })
  t.ok(s:idle())
  s:close()
  runtime.advance(1)
end)

t.test("nobody there at the first try ends it", function()
  local server = new_server()
  server.up = false
  local _, seen = join(server)
  runtime.advance(1)
  t.eq(seen.ended.message, "refused")
end)

return t.finish()
