-- SPDX-License-Identifier: MIT
-- Profiles: finding them, reading them, and what is said about their mistakes; the shipped ones.
local t = require "srvthreds.spec"
local json = require "core.json"
local profile = require "srvthreds.profile"
local temp_folder = require "temp_folder"

local function with_folder(fn)
  local folder = temp_folder.new()
  local ok, e = pcall(fn, folder)
  folder:close()
  if not ok then error(e, 0) end
end

local function load(folder, name) return profile.load(name or "mine", { folders = { folder.path }, shipped = "." }) end

t.test("a profile says who takes part and what runs", function()
  with_folder(function(folder)
    folder:write("mine/profile.lua", [[return {
      participants = { ann = { roles = { "boss" } }, bob = {} }, groups = { group0 = { "ann", "bob" } },
      agents = { robot = { id = "org.wt.robot7", config = { speed = 3 } }, own = { id = "own1" } },
      addresses = { robot0 = "org.wt.robot7" }, setup = function() end,
    }]])
    folder:write("mine/agents/own.lua", "")
    folder:write("mine/patterns/a.lua", "")
    local p = load(folder)
    t.eq(p.name, "mine")
    t.eq(p.participants, { ann = { roles = { "boss" } }, bob = { roles = {} } })
    t.eq(p.groups, { group0 = { "ann", "bob" } })
    t.eq(p.agents.robot.file, "./agents/robot.lua")
    t.eq(p.agents.robot.config, { speed = 3 })
    t.eq(p.agents.own.file, folder.path .. "/mine/agents/own.lua")
    t.eq(p.pattern_folders, { { path = folder.path .. "/mine/patterns" } })
    t.eq(p.addresses.robot0, "org.wt.robot7")
    t.ok(p.setup)
    t.eq(profile.facts(p).participants.ann.roles, { "boss" })
  end)
end)

t.test("patterns by name: the profile's own first, then shipped ones", function()
  with_folder(function(folder)
    folder:write("profiles/mine/profile.lua", 'return { patterns = { "b", "shared.lua" } }')
    folder:write("profiles/mine/patterns/a.lua", "")
    folder:write("profiles/mine/patterns/b.lua", "")
    folder:write("shipped/patterns/shared.lua", "")
    local p = profile.load("mine", { folders = { folder.path .. "/profiles" }, shipped = folder.path .. "/shipped" })
    t.eq(p.pattern_folders, {
      { path = folder.path .. "/profiles/mine/patterns", only = { ["b.lua"] = true } },
      { path = folder.path .. "/shipped/patterns", only = { ["shared.lua"] = true } },
    })
  end)
end)

t.test("every mistake is named with file, line, key and the nearest name", function()
  with_folder(function(folder)
    folder:write("mine/profile.lua", [[return {
      particpants = {},
      participants = { ann = { role = { "boss" } }, bob = 3, ["$x"] = {} },
      groups = { group0 = { "ann", "bobb" }, group1 = "ann" },
      agents = { robot = { id = "r1", configuration = {} }, robt = { id = "r2" }, sensor = {} },
      addresses = { a = 1 },
      patterns = { "nothing", 5 },
      setup = 1,
      docdb = { index = {}, indexes = { ["a$"] = { "x" }, cars = { "id", "owner", "a..b", "owner", 3 }, dogs = "name" } },
    }]])
    local e = t.raises(function() load(folder) end, "the profile mine can't be used")
    t.eq(e.code, 4200)
    local file = folder.path .. "/mine/profile.lua"
    for _, text in ipairs {
      file .. ":2: particpants: unknown key (did you mean participants?)",
      file .. ":3: participants.ann.role: unknown key (did you mean roles?)",
      file .. ":3: participants.bob: a table is expected",
      ":3: participants.$x: this name is the system's own",
      ":4: groups.group0.bobb: there is no such participant (did you mean bob?)",
      ":4: groups.group1: a list of names is expected, this is a string",
      ":5: agents.robot.configuration: unknown key",
      ":5: agents.sensor: its id is missing",
      "addresses.a: the id or type of an agent is expected",
      "patterns[2]: a name is expected, this is a number",
      ":8: setup: a function is expected",
      ":9: docdb.index: unknown key (did you mean indexes?)",
      ":9: docdb.indexes.a$: a collection's name has 1 to 120 bytes",
      ":9: docdb.indexes.cars: the id is always found at once",
      ':9: docdb.indexes.cars: "a..b" is no path of a field',
      ':9: docdb.indexes.cars: "owner" is there twice',
      "docdb.indexes.cars[5]: a name is expected, this is a number",
      ":9: docdb.indexes.dogs: a list of names is expected",
    } do
      if not e.message:find(text, 1, true) then
        error(("not said: %s\nsaid: %s"):format(text, e.message), 0)
      end
    end
  end)
end)

t.test("files that are not there are named", function()
  with_folder(function(folder)
    folder:write("mine/profile.lua", 'return { agents = { robt = { id = "r" } }, patterns = { "nothing" } }')
    local e = t.raises(function() load(folder) end, "there is no file robt.lua in")
    t.ok(e.message:find('there is no pattern file "nothing"', 1, true))
  end)
end)

t.test("a file that can't be run says where; it sees no more than it needs", function()
  with_folder(function(folder)
    folder:write("mine/profile.lua", "return {\n  participants = {\n")
    t.raises(function() load(folder) end, "profile.lua:")
    folder:write("mine/profile.lua", "return 5")
    t.raises(function() load(folder) end, "a profile returns a table")
    folder:write("mine/profile.lua", "io.open('x')")
    t.raises(function() load(folder) end, "global 'io'")
  end)
end)

t.test("an unknown profile names the nearest and all there are", function()
  local e = t.raises(function() profile.load("ef-detecton", { folders = { "run-profiles" } }) end,
    "did you mean ef-detection?")
  t.eq(e.code, 5201)
  t.ok(e.message:find("dev, ef-detection, test", 1, true))
end)

t.test("the original's run-config files are read; variables have defaults", function()
  with_folder(function(folder)
    folder:write("mine/run-config/sessions_model.json", [[{ "groups": [ { "name": "group0", "participants": [
      { "participantId": "participant0" }, { "participantId": "${NO_SUCH_VARIABLE||participant1}" } ] } ] }]])
    folder:write("mine/run-config/resolver_config.json", [[{ "agents": [
      { "name": "Robot", "nodeType": "org.wt.robot", "nodeId": "org.wt.robot1", "configName": "robot_agent" },
      { "name": "Far", "nodeType": "org.wt.far", "nodeId": "org.wt.far1", "configName": "far_agent", "remote": true },
      { "name": "P", "nodeType": "org.wt.persistence", "nodeId": "org.wt.persistence1", "configName": "pers_agent" } ] }]])
    folder:write("mine/run-config/robot_agent.json", '{ "name": "Robot", "customConfig": { "speed": 2 } }')
    local p = load(folder)
    t.eq(p.participants, { participant0 = { roles = {} }, participant1 = { roles = {} } })
    t.ok(json.equal(p.groups, { group0 = { "participant0", "participant1" } }))
    t.eq(p.agents.robot.id, "org.wt.robot1")
    t.eq(p.agents.robot.config.speed, 2)
    t.eq(p.agents.far.remote, true)
    t.eq(#p.warnings, 1)
    t.ok(p.warnings[1]:find("pers.lua", 1, true))
    folder:write("mine/run-config/sessions_model.json", '{ "groups": [ { "participants": [ {} ] } ] }')
    t.raises(function() load(folder) end, "groups[0].name: a text is expected")
    folder:write("mine/run-config/sessions_model.json", '{ "groups": [ ')
    t.raises(function() load(folder) end, "sessions_model.json")
  end)
end)

t.test("the hash follows the profile and its patterns", function()
  with_folder(function(folder)
    folder:write("mine/profile.lua", "return {}")
    local first = load(folder).hash
    t.eq(load(folder).hash, first)
    folder:write("mine/patterns/a.lua", "return 1")
    local second = load(folder).hash
    t.ok(first ~= second)
    folder:write("mine/patterns/lib/x.lua", "return 1")
    t.ok(load(folder).hash ~= second)
  end)
end)

t.test("the shipped profiles", function()
  local p = profile.load("ef-detection", { shipped = "." })
  t.eq(p.agents.sensor.id, "sensor_agent0")
  t.eq(p.agents.robot.id, "robot0")
  t.eq(p.participants.admin.roles, { "admin" })
  t.ok(p.participants.participant3)
  t.eq(p.groups.group0, { "participant0", "participant1" })
  t.eq(profile.load("test", { shipped = "." }).participants.p99, { roles = {} })
  t.ok(profile.load("dev", { shipped = "." }))
end)

return t.finish()
