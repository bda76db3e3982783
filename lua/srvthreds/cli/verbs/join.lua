-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local conversation = require "srvthreds.cli.conversation"
local event_words = require "srvthreds.cli.event_words"
local json = require "core.json"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local session = require "srvthreds.cli.session"
local terminal = require "core.terminal"

local help_text = [[
  yes, no, 2, a text     answers the newest question; 2 is its second choice
  #3 yes                 answers question #3
  /questions             what still waits for an answer
  /send type=… NAME=…    sends an event (JSON or pairs, as `srvthreds send`)
  /last                  the last event as JSON
  /quit                  leaves; so does Ctrl-D]]

-- Between its tasks: reading the terminal, reading the connection, waiting for the time-out.
local function say(state, text)
  if not state.quiet then output.say(text) end
end

local function finish(state, code)
  if state.code then return end
  state.code = code
  state.session:close()
  runtime.stop(code)
end

-- A pipe that said something leaves when all of it was done; one that is empty from the start only listens.
local function leave_when_idle(state)
  local done = state.input_over and state.had_input and #state.held == 0 and state.session:idle()
  if done and not state.call.flags["until"] then finish(state, 0) end
end

local commands = {}

function commands.help()
  output.say(help_text)
end

function commands.questions(state)
  state.talk:list()
end

function commands.last(state)
  output.line(state.talk.last and json.encode(state.talk.last) or "nothing came yet")
end

function commands.quit(state)
  finish(state, 0)
end

commands.exit, commands.q = commands.quit, commands.quit

function commands.send(state, rest)
  local words = {}
  if rest:find("^[{%[]") then words[1] = rest end
  if not words[1] then
    for word in rest:gmatch("%S+") do words[#words + 1] = word end
  end
  local ok, event = pcall(event_words.read, words)
  if not ok then
    output.say(tostring(event))
    return
  end
  event.id = event.id or event_words.new_id()
  state.session:send(event)
end

local function command(state, line)
  local name, rest = line:match("^/(%S*)%s*(.*)$")
  local fn = commands[name]
  if fn then return fn(state, rest) end
  output.say(("there is no /%s; these are understood:\n%s"):format(name, help_text))
end

-- A pipe's lines may come before the question that they answer: they wait for it. A person gets told.
local function answer(state, line)
  local number, words = line:match("^#(%d+)%s+(.*)$")
  local taken, why = state.talk:answer(words or line, math.tointeger(tonumber(number)))
  if not taken then output.say(why) end
  return taken
end

local function take_held(state)
  while state.held[1] and state.talk:open() do answer(state, table.remove(state.held, 1)) end
  leave_when_idle(state)
end

local function take_line(state, line)
  if line:find("^/") then return command(state, line) end
  if line:find("^%s*$") then return end
  if state.interactive then
    answer(state, line)
  else
    state.held[#state.held + 1] = line
    take_held(state)
  end
end

local function read_terminal(state)
  while not state.code do
    local line = terminal.read_line()
    if not line then break end
    state.had_input = true
    take_line(state, line)
  end
  state.input_over = true
  if state.interactive then finish(state, 0) else leave_when_idle(state) end
end

local function on_event(state, event)
  state.talk:show(event)
  local title = json.kind(event.data) == "object" and event.data.title
  take_held(state)
  if state.call.flags["until"] and title == state.call.flags["until"] then finish(state, 0) end
end

local states = {}

function states.hello(state, hello)
  say(state, ("You are %s. What is sent to you appears here, with its questions. /help says what you can type; Ctrl-D leaves.")
    :format(hello.participantId or state.call.words[1]))
end

function states.back(state)
  say(state, "connected again; nothing is lost")
end

function states.away(state)
  say(state, "the server went away; connecting again by itself …")
end

function states.accepted(state)
  say(state, output.colour("dim", "sent"))
  leave_when_idle(state)
end

function states.refused(state, detail)
  output.say(("refused: %s"):format(output.plain(detail.error.message or json.encode(detail.error))))
  leave_when_idle(state)
end

local function connect(call)
  local address = client.address(call, "ws", "session.port")
  local ok, connection = pcall(client.websocket, call, "session.port", "/ws", { protocol = "srvthreds.v1", timeout_ms = 10000 })
  if not ok then error(client.unreachable(address, connection), 0) end
  return connection
end

local token_hint = "`srvthreds dev` takes a participant of its profile as its own token, on loopback (participant0 …);\n"
  .. "elsewhere set SRVTHREDS_TOKEN or SRVTHREDS_TOKEN_FILE to an access token"

local function start_timeout(state)
  local after = state.call.flags.timeout
  if not after then return end
  runtime.spawn(function()
    runtime.sleep(after)
    if not state.code then output.say("the time is over") end
    finish(state, 4)
  end)
end

local function run(call)
  io.stdout:setvbuf("line")
  local raw = (call.flags.output or "table") ~= "table"
  local state = { call = call, held = {}, interactive = runtime.isatty(0), quiet = raw and not runtime.isatty(2) }
  state.session = session.new {
    connect = function() return connect(call) end, token = client.token(call, call.words[1]), token_hint = token_hint,
    on_event = function(event) on_event(state, event) end,
    on_state = function(word, detail) states[word](state, detail) end,
  }
  state.talk = conversation.new { raw = raw, send = function(event) state.session:send(event) end }
  start_timeout(state)
  runtime.spawn(read_terminal, state)
  local ok, raised = pcall(state.session.run, state.session)
  if not ok then
    if state.code then return state.code end
    error(problem.is(raised) and raised or problem.new("failed", tostring(raised)), 0)
  end
  return state.code or 0
end

return {
  name = "join", run = run, lists = true, keys = { "server", "session.port" },
  words = { { name = "PARTICIPANT", help = "who you are: a participant of the profile, such as participant0" } },
  flags = {
    { name = "until", value = "TITLE", help = "leave when an event of this title was shown" },
    { name = "timeout", value = "DURATION", type = "duration", help = "leave after this time, with exit code 4" },
  },
  examples = {
    { "srvthreds join participant0", "in one terminal" },
    { "srvthreds join participant1", "in another: the two of you are asked" },
    { "printf 'yes\\nyes\\n' | srvthreds join participant0 --until 'Robot Video Stream'", "by a script" },
  },
  about = [[
You are a participant: what is sent to you appears here, and you answer by words or numbers. When the server
goes away it connects again by itself and goes on where it was. From a pipe, each line answers the next
question; at the end of the input it leaves when everything was accepted; an empty input only listens. -o jsonl
shows events as JSON, one a line.]],
}
