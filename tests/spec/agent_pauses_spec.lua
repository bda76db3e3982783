-- SPDX-License-Identifier: MIT
-- Agents over their budget: the limits are those of a message, and who goes over them again and again is paused.
local t = require "srvthreds.spec"
local logs = require "core.log"
local runner = require "srvthreds.agent.runner"
local temp = require "temp_folder"
local world = require "world"

logs.level "error"

local ASKS = [[p.pattern "Asks" { p.reaction "ask" { p.any {
  p.where { type = "ask" } { transform = { content = { tasks = function(event)
      local tasks = p.array {}
      for name in event:value "tasks":gmatch "%%a+" do
        tasks[#tasks + 1] = { name = name, params = { n = event:value "n" } }
      end
      return tasks
    end } }, publish = "worker0", transition = "$noTransition" },
  p.where { type = "org.test.worker" } { transform = { title = function(event)
      return ("%%s"):format(event:value "n" or "many")
    end }, publish = "ann", transition = "$noTransition" },
  } } }]]
local BEATS = [[p.pattern "Beats" { p.reaction "beat" { p.where { type = "beat" } {
  transform = { title = "beat" }, publish = "bob" } } }]]

local WORKER = [[
local agent = require "srvthreds.agent"
return agent.agent "org.test.worker" {
  address = "worker0", limits = { cpu = 100, wall = 60000, memory = 1 << 20 },
  tasks = {
    count = function(task) return { n = task.params.n } end,
    part = function(task)
      local all = 0
      for i = 1, LOOPS do all = all + i end
      return { n = task.params.n, all = all }
    end,
    loop = function() while true do end end,
    bush = function()
      local t = {}
      for _ = 1, 30 do t = { left = t, right = t } end
      return t
    end,
  },
  every = { "1s", function(a) a:send { type = "beat" } end },
}
]]

-- How many turns of a loop take about 20 of the 100 ms.
local function loops()
  local begin, n = os.clock(), 2000000
  for _ = 1, n do end
  return math.tointeger(n * 0.02 / (os.clock() - begin) // 1)
end
WORKER = WORKER:gsub("LOOPS", tostring(loops()))

local function start_agents(w, options)
  world.task(function()
    w.agents = runner.new { store = w.store, queue = w.queue, directory = w.directory, pauses = options.pauses }
    w.agents.pauses:load()
    w.agents:start { id = "worker1", file = "worker.lua", source = WORKER }
  end)
end

---@param options { url: string?, pauses: table? }
local function with_agent(options)
  local w = world.new { url = options.url }
  start_agents(w, options)
  w:pattern(ASKS:gsub("%%%%", "%%"))
  return w
end

local function ask(w, tasks, n)
  t.eq(w:outcome { type = "ask", values = { tasks = tasks, n = n or 1 } }.outcome, "matched")
  w:advance(20)
end

local function held(w) return w.agents.pauses.held.worker1 end

local function paused(w) return world.task(function() return w.agents.pauses:list() end)[1] end

local function resume(w)
  world.task(function() return w.agents.pauses:resume(w.agents.agents.worker1, "a test") end)
  w:advance(100)
end

local function close(w)
  w.agents:stop()
  w:close()
end

t.test("a message has one budget, however many tasks it asks for", function()
  local w = with_agent { pauses = { after = 0 } }
  ask(w, "part")
  t.eq(w:titles "ann", "1")
  ask(w, ("part "):rep(20))
  local got = w:received "ann"
  t.ok(got[1].data.content.error.message:find("ms of CPU time, the limit is 100.0 ms", 1, true), got[1].data.content.error.message)
  t.ok(got[1].data.content.error.message:find "worker%.lua:%d+")
  ask(w, "bush")
  local message = w:received("ann")[1].data.content.error.message -- it went over while its result was copied
  t.ok(message:find "^worker%.lua:12: the script was ended", message)
  t.eq(held(w), nil)
  close(w)
end)

-- Paused by its own scripts, then resumed; in which order the messages that waited were answered.
local function paused_and_resumed()
  local w = with_agent { pauses = { after = 3, within = 60000 } }
  for _ = 1, 3 do ask(w, "loop") end
  t.ok(held(w).reason:find("its scripts went over their budget 3 times", 1, true), held(w).reason)
  t.eq(#w:received "ann", 3)
  for n = 1, 4 do ask(w, "count", n) end
  t.eq(w:titles "ann", "")
  t.eq(paused(w).waiting, 4)
  t.ok(w.agents.pauses:summary():find("srvthreds agents resume worker1", 1, true))
  resume(w)
  local order, once = w:titles "ann", {}
  for n in order:gmatch "%d" do once[#once + 1] = n end
  table.sort(once)
  t.eq(table.concat(once), "1234")
  t.eq(held(w), nil)
  t.eq(w.agents.pauses:summary(), nil)
  ask(w, "count", 5)
  t.eq(w:titles "ann", "5")
  close(w)
  return order
end

t.test("an agent over its budget again and again is paused: its messages wait, in order, and are handled once", function()
  local order
  for _ = 1, 3 do -- a script that a busy machine held for a slice answers behind the others: not every time
    order = paused_and_resumed()
    if order == "1, 2, 3, 4" then return end
  end
  t.eq(order, "1, 2, 3, 4")
end)

t.test("an edit ends the pause that an agent put on itself, not one by hand; its clock rests meanwhile", function()
  local w = with_agent { pauses = { after = 2, within = 60000 } }
  w:pattern(BEATS)
  w:advance(2500)
  t.eq(w:titles "bob", "beat, beat")
  for _ = 1, 2 do ask(w, "loop") end
  w:advance(5000)
  t.eq(w:titles "bob", "")
  local function edit(text)
    world.task(function() return w.agents:reload("worker.lua", WORKER .. text) end)
    w:advance(2500)
  end
  edit "-- mended"
  t.eq(held(w), nil)
  t.eq(w:titles "bob", "beat, beat")
  world.task(function() w.agents.pauses:pause(w.agents.agents.worker1, { reason = "until Monday", by = "ann" }) end)
  edit "-- mended again"
  t.eq(held(w).by, "ann")
  t.eq(w:titles "bob", "")
  resume(w)
  w:advance(2500)
  t.eq(w:titles "bob", "beat, beat")
  close(w)
end)

t.test("messages of a paused agent are dead letters, if that is wanted, and can be tried again", function()
  local w = with_agent { pauses = { after = 1, within = 60000, events = "dead" } }
  ask(w, "loop")
  w:received "ann"
  ask(w, "count", 7)
  local letter = w:dead()[1]
  t.eq(letter.pattern, "agent worker1")
  t.ok(letter.error:find("agent worker1 is paused", 1, true), letter.error)
  resume(w)
  world.task(function() return w.store:dead_retry(letter.id, 0) end)
  w:advance(50)
  t.eq(w:titles "ann", "7")
  t.eq(#w:dead(), 0)
  close(w)
end)

t.test("of so many messages that wait for a paused agent the last stay; those before them are dead letters", function()
  local w = with_agent { pauses = { after = 1, within = 60000, waiting = 3 } }
  ask(w, "loop")
  w:received "ann"
  for n = 1, 3 do ask(w, "count", n) end
  w:advance(3000)
  t.eq(paused(w).waiting, 3)
  t.eq(#w:dead(), 0)
  for n = 4, 8 do ask(w, "count", n) end
  w:advance(2000)
  t.eq(paused(w).waiting, 3)
  t.eq(#w:dead(), 5)
  t.ok(w:dead()[1].error:find("agent worker1 is paused", 1, true), w:dead()[1].error)
  w:advance(2000)
  t.eq(#w:dead(), 5)
  resume(w)
  t.eq(w:titles "ann", "6, 7, 8")
  close(w)
end)

t.test("a pause survives a restart, and so does what waits", function()
  local folder = temp.new()
  local w = with_agent { url = "sqlite:" .. folder.path .. "/a.db", pauses = { after = 1, within = 60000 } }
  ask(w, "loop")
  w:received "ann"
  ask(w, "count", 3)
  w.agents:stop()
  w:restart()
  start_agents(w, { pauses = { after = 1, within = 60000 } })
  w:advance(100)
  t.eq(w:titles "ann", "")
  t.eq(paused(w).waiting, 1)
  resume(w)
  t.eq(w:titles "ann", "3")
  close(w)
  folder:close()
end)

t.test("a message that ended the process three times is a dead letter, with what is known", function()
  local w = with_agent {}
  local node, handed = w.agents.agents.worker1, nil
  local real = w.queue
  node.runner.queue = setmetatable({ consume = function(_, topic, fn)
    real:consume(topic, function(delivery)
      delivery.attempts, handed = 3, delivery
      delivery.ran = { pattern = "agent worker1", file = "worker.lua", line = 4, inside = true, why = "a script took too long" }
      fn(delivery)
    end)
  end, settle = function(_, ...) return real:settle(...) end }, { __index = function() error "not here" end })
  w.agents:turn "worker1"
  ask(w, "count", 9)
  t.ok(handed)
  t.eq(w:titles "ann", "")
  local letter = w:dead()[1]
  for _, word in ipairs { "ended 3 times", "because a script took too long", "agent worker1", "worker.lua:4" } do
    t.ok(letter.error:find(word, 1, true), letter.error)
  end
  t.eq(letter.attempts, 3)
  close(w)
end)

return t.finish()
