-- SPDX-License-Identifier: MIT
-- Each attack of attacks.lua in each function that a script may give, again and again: its step leaves nothing, its event is
-- a dead letter that says where, what and how much, and a neighbour's event goes through each time.
local t = require "srvthreds.spec"
local build = require "core.build"
local json = require "core.json"
local runner = require "srvthreds.agent.runner"
local attacks = require "attacks"
local world = require "world"

-- Where everything is collected again and again, time runs out before anything else does.
local HOSTILE = os.getenv "SRVTHREDS_GC"
local RUNS = HOSTILE and 1 or os.getenv "SRVTHREDS_LONG" and 100 or build.build:find "sanitizer" and 1 or 2

local PLACES = {
  filter = 'p.where { type = "go", when = function(event, thred) CODE\n end } {}',
  on_true = 'p.where { type = "go" } { on_true = function(event, thred) CODE\n end }',
  transform = [[p.where { type = "go" } { on_true = function(event, thred) thred.n = 2 end,
    transform = { title = function(event, thred) CODE
    end }, publish = "ann" }]],
  publish = [[p.where { type = "go" } { on_true = function(event, thred) thred.n = 2 end,
    transform = { title = "x" }, publish = { to = function(event, thred) CODE
    end } }]],
}

local NEIGHBOUR = [[p.pattern "Neighbour" { p.reaction "first" { p.where { type = "ping" } {
  on_true = function(event, thred) thred.n = event:value "n" end, transform = { title = "pong" }, publish = "bob" } } }]]

-- Small: that of time, but where another one is to be reached. A slice of 2 ms counts as used when the machine is busy.
local function cpu(attack) return (HOSTILE or attack.kinds:find "cpu") and 5 or 1000 end

local function pattern(place, attack)
  return (([[(function() local require = require return p.pattern "Attacked" { limits = { cpu = CPU, wall = "1m", memory = "1MB" },
    p.reaction "begin" { p.where { type = "begin" } { on_true = function(event, thred) thred.n = 1 end } },
    p.reaction "attacked" { PLACE },
    p.reaction "after" { p.where { type = "never" } {} },
  } end)()]]):gsub("PLACE", function() return PLACES[place] end):gsub("CODE", function() return attack.code end):gsub("CPU", cpu(attack)))
end

local function ping(w, what)
  w.pings = (w.pings or 0) + 1
  t.eq(w:outcome { source = "bob", type = "ping", values = { n = w.pings } }.outcome, "matched", what)
  t.eq(w:titles "bob", "pong", what)
end

local function check_message(message, attack, what)
  local says = HOSTILE and message:find "limit" or message:find "calls"
  for _, one in ipairs(attack.says) do says = says or message:find(one, 1, true) end
  t.ok(says and message:find("the script was ended: ", 1, true), ("%s: %s"):format(what, message))
  t.ok(message:find "%d[%d.]*" and message:find "test.lua:%d+", ("%s: %s"):format(what, message))
end

local function attack_pattern(w, place, attack)
  local what = ("%s in %s"):format(attack.name, place)
  w:pattern(pattern(place, attack))
  local id = w:outcome { type = "begin" }.threds[1]
  local before = json.encode(json.copy(w:thred(id)))
  for _ = 1, RUNS do
    local o = w:outcome { type = "go", thredId = id }
    t.eq(o.outcome, "error", what)
    check_message(o.error.message, attack, what)
    ping(w, what)
    w:advance(3600000)
  end
  t.eq(json.encode(json.copy(w:thred(id))), before, what)
  local dead = w:dead()
  t.eq(#dead, RUNS, what)
  for _, letter in ipairs(dead) do
    local e = json.decode(letter.error)
    t.eq({ e.pattern, e.reaction, e.file, e.line >= 2 }, { "attacked", "attacked", "test.lua", true }, what)
    t.ok(e.kind == "cpu" or e.kind == "memory" or e.kind == "stack" or e.kind == "wall", e.kind)
  end
end

if HOSTILE then PLACES = { on_true = PLACES.on_true } end
for place in pairs(PLACES) do
  t.test("attacks in " .. place, function()
    for _, attack in ipairs(attacks) do
      local w = world.new()
      w:pattern(NEIGHBOUR)
      attack_pattern(w, place, attack)
      w:close()
    end
  end)
end

-- An agent answers with the error; its thred records it and moves no further.
t.test("attacks in an agent's task", function()
  for _, attack in ipairs(attacks) do
    local w = world.new()
    w:pattern(NEIGHBOUR)
    local agents = runner.new { store = w.store, queue = w.queue, directory = w.directory }
    world.task(function()
      agents:start { id = "a1", file = "test.lua", config = {}, source = ([[
        local agent = require "srvthreds.agent"
        return agent.agent "test" { limits = { cpu = %d, memory = 1 << 20 }, tasks = { evil = function(task, event) %s
        end, fine = function() return "fine" end } }]]):format(cpu(attack), attack.code) }
    end)
    w:pattern [[p.pattern "Asks" { p.reaction "ask" { p.where { type = "ask" } {
      transform = { content = { tasks = function(event) return p.array { { name = event:value "task" } } end } },
      publish = { to = "test", name = "task" }, transition = "$noTransition" } } }]]
    for _ = 1, RUNS do
      local id = w:outcome { type = "ask", values = { task = "evil" } }.threds[1]
      w:advance(10)
      local got = w:received "ann"
      t.ok(got[1] and got[1].data.content.error, attack.name)
      check_message(got[1].data.content.error.message, attack, attack.name .. " in an agent")
      t.eq(w:thred(id).reaction, "ask")
      ping(w, attack.name)
      w:advance(3600000)
    end
    agents:stop()
    w:close()
  end
end)

return t.finish()
