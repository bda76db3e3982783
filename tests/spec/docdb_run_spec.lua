-- SPDX-License-Identifier: MIT
-- Scripts of a profile, run by the task `run`: what they see, what comes of their mistakes, and of scripts that mean harm.
local t = require "srvthreds.spec"
local docdb = require "core.docdb"
local json = require "core.json"
local runtime = require "core.runtime"
local live_files = require "srvthreds.live.agent_files"
local script_codes = require "srvthreds.agent.script_codes"
local scripts = require "srvthreds.agent.scripts"
local temp_folder = require "temp_folder"
local world = require "world"

local function open()
  local db = docdb.open { hosts = { { name = "default", url = "memory:" } }, databases = { "srvthreds", "other" }, timeout = 5000 }
  return db, scripts.new { docdb = db }
end

local function task(name, args, more)
  local one = more or {}
  one.op, one.params = "run", { type = "cars", values = { script = name, args = args } }
  return one
end

local function bed(sources)
  local db, all = open()
  local w = { db = db, scripts = all }
  function w.run(tasks, options)
    local out = table.pack(world.task(function() return db:run(tasks, options) end))
    return out[1] and json.encode(out[1]), out[2]
  end
  function w.count()
    return w.run { { op = "count", params = { type = "cars", matcher = {} } } }
  end
  world.task(function()
    for name, source in pairs(sources) do
      local ok, wrong = all:reload("scripts/" .. name .. ".lua", source)
      t.ok(ok, wrong)
    end
  end)
  return w
end

t.test("a script's operations and its result", function()
  local w = bed { all = [[
    return function(db, args)
      local ids = db:put { values = { { id = "a", n = 1 }, { id = "b", n = 2, tags = {} } } }
      assert(ids[2] == "b" and db:put { type = "bikes", values = { id = "a" } } == "a")
      assert(db:getOne { matcher = { id = "none" } } == nil)
      local b = db:getOne { matcher = { id = "b" } }
      b.n, b.more = args.add + b.n, { null, array {} } -- what is read is the script's own
      assert(db:replace { matcher = { id = "b" }, values = b }.matched == 1)
      assert(db:update { matcher = { n = { ["$gt"] = 1 } }, values = { ["$inc"] = { n = 1 } } }.modified == 1)
      assert(db:upsert { matcher = { id = "c" }, values = { n = 9 } }.id == "c")
      assert(db:delete { matcher = { id = "a" } } == 1 and db:count { matcher = {} } == 2)
      local two = db:run { { op = "count", params = { type = "bikes", matcher = {} } },
        { { op = "get", params = { matcher = {}, selector = { include = { "n" } }, collector = { sort = { { field = "n" } } } } } } }
      assert(two[1] == 1 and two[2][1][1].id == "b")
      log("ran", args.add)
      return { n = two[2][1][1].n, args = args, time = os.time() }
    end]] }
  local result, e = w.run { task("all", { add = 5 }) }
  t.eq(e and e.message, nil)
  t.eq(result, '[{"args":{"add":5},"n":8,"time":1790000000}]')
  t.eq(w.run { { op = "get", params = { type = "cars", matcher = { id = "b" }, selector = { include = { "n", "more" } } } } },
    '[[{"id":"b","more":[null,[]],"n":8}]]')
  w.db:close()
end)

t.test("nothing of a script that fails stays, and the error says where", function()
  local w = bed {
    throws = 'return function(db)\n  db:put { values = { id = "a" } }\n  error "no money"\nend',
    code = 'return function(db) db:put { values = { id = "a" } } error { code = 4200, message = "not this one" } end',
    exists = 'return function(db)\n  db:put { values = { id = "a" } }\n  db:put { values = { id = "a" } }\nend',
    swallows = [[return function(db)
      db:put { values = { id = "a" } }
      for _ = 1, 20 do pcall(db.put, db, { values = { id = "a" } }) end
      return "all is well"
    end]],
    refused = [[return function(db)
      local ok, e = pcall(function() db:get { matcher = { ["$where"] = "1" } } end)
      assert(not ok and e.code == 4200, "refused")
      return db:put { values = { id = "a" } }
    end]],
    other = 'return function(db) return db:run { { op = "count", params = { matcher = {} }, options = { dbname = "other" } } } end',
    nested = 'return function(db) return db:run { { op = "run", params = { values = { script = "throws" } } } } end',
    colon = 'return function(db) return db.put { values = {} } end',
    result = 'return function(db) db:put { values = { id = "a" } } return { f = print or function() end } end',
  }
  local function fails(name, code, text)
    local list = json.array { { op = "put", params = { type = "cars", values = { id = "first" } } }, task(name, nil, { name = "mine" }) }
    local result, e = w.run { list }
    t.eq(result, "[]")
    t.eq({ e.code, e.item, e.inner, e.name }, { code, 0, 1, "mine" }, e.message)
    t.ok(e.message:find(text, 1, true), e.message)
    t.eq(w.count(), "[0]")
  end
  fails("throws", 5200, "scripts/throws.lua:3: no money")
  fails("code", 4200, "scripts/code.lua:1: not this one")
  fails("exists", 5202, "scripts/exists.lua:3: cars: there is a document with the id a already")
  fails("swallows", 5202, "there is a document with the id a already")
  fails("other", 4200, "the tasks of one transaction share host and database")
  fails("nested", 4200, "a script can't run another one")
  fails("colon", 5200, "with a colon")
  fails("result", 5200, "scripts/result.lua")
  t.eq(w.run { task "refused" }, '["a"]', "what was refused did nothing: the script may go on")
  local result, e = w.run { task "throw" }
  t.eq(result, nil)
  t.eq(e.code, 4200)
  t.ok(e.message:find('no script "throw": did you mean throws?', 1, true), e.message)
  w.db:close()
end)

t.test("a mark: a script runs once", function()
  local w = bed { bump = [[return function(db)
    return { id = db:put { values = { n = 1 } }, luck = math.random(1 << 30), count = db:count { matcher = {} } } end]] }
  local first = w.run({ task "bump" }, { mark = "event 1" })
  t.eq(w.run({ task "bump" }, { mark = "event 1" }), first)
  t.eq(w.count(), "[1]")
  t.ok(w.run({ task "bump" }, { mark = "event 2" }) ~= first)
  t.eq(w.count(), "[2]")
  w.db:close()
end)

t.test("scripts that mean harm end, and nothing of them stays", function()
  local put = 'db:put { values = { id = "a" } } '
  local w = bed {
    endless = "return function(db) " .. put .. "while true do end end",
    holds = "return function(db) " .. put .. "while true do pcall(function() while true do end end) end end",
    asks = "return function(db) while true do pcall(db.count, db, { matcher = {} }) end end",
    eats = "return function(db) " .. put .. "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end",
    deep = "return function(db) " .. put .. "local function f() return 1 + f() end return f() end",
    keeps = [[return function(db) ]] .. put .. [[ KEPT = db end]],
    changes = [[return function(db) ]] .. put .. [[ db.put = nil end]],
    inside = [[return function(db)
      local co = coroutine.wrap(function() db:put { values = { id = "a" } } coroutine.yield(1) db:put { values = { id = "a" } } end)
      co() co()
    end]],
    closes = [[return function(db)
      local guard <close> = setmetatable({}, { __close = function() db:put { values = { id = "late" } } end })
      db:put { values = { id = "a" } }
      error "thrown"
    end]],
    meta = [[return function(db)
      local function forever() while true do end end
      return db:put(setmetatable({ values = {} }, { __index = forever, __pairs = forever }))
    end]],
    loops = "return function(db) local t = {} t.t = t return db:put { values = t } end",
    large = "return function(db) local t = {} for i = 1, 200 do t[i] = { v = ('x'):rep(10000) } end return db:put { values = t } end",
  }
  for name, text in pairs {
    endless = "scripts/endless.lua:1: the script was ended: it ", holds = "the script was ended: it ",
    asks = "the script was ended", eats = "the script was ended: it", deep = "scripts/deep.lua:1",
    keeps = "KEPT", changes = "db", inside = "there is a document with the id a", closes = "this call waits",
    loops = "itself", large = "at most 1048576 bytes",
  } do
    local result, e = w.run { task(name) }
    t.eq(result, "[]", name)
    t.ok(e.message:find(text, 1, true), name .. ": " .. e.message)
    t.eq(w.count(), "[0]", name)
  end
  t.ok(w.run { task "meta" })
  t.eq(w.count(), "[1]")
  w.db:close()
end)

t.test("a coroutine may ask, and nothing is kept from one run to the next", function()
  local w = bed { keeps = [[
    local kept, co = 0, nil
    return function(db)
      kept = kept + 1
      co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(db:put { values = { n = i } }) end end)
      local ok, e = pcall(function() co() co() co() co() end)
      return { kept, ok, db:count { matcher = {} } }
    end]] }
  t.eq(w.run { task "keeps" }, "[[1,true,3]]")
  t.eq(w.run { task "keeps" }, "[[1,true,6]]")
  w.db:close()
end)

t.test("the time of the request is over", function()
  local w = bed { waits = [[return { limits = { cpu = 60000, wall = 60000 },
    run = function(db) db:put { values = { id = "a" } } for _ = 1, 1e9 do db:count { matcher = {} } end end }]] }
  local begun = runtime.ticks()
  local result, e = w.run({ task "waits" }, { timeout = 50 })
  t.eq(result, "[]")
  t.eq(e.code, 5200)
  t.ok(e.message:find("time for the request is over", 1, true), e.message)
  t.ok(runtime.ticks() - begun < 20e9)
  t.eq(w.count(), "[0]")
  w.db:close()
end)

t.test("the script of docs/documents.md", function()
  local source = runtime.read_file "docs/documents.md":match "```lua\n(.-)```"
  local w = bed { transfer = source }
  w.run { { op = "put", params = { type = "cars", values = { { id = "ann", balance = 8 }, { id = "bob", balance = 0 } } } } }
  t.eq(w.run { task("transfer", { from = "ann", to = "bob", amount = 5 }) }, '[{"left":3}]')
  local _, e = w.run { task("transfer", { from = "ann", to = "bob", amount = 5 }) }
  t.eq({ e.code, e.message }, { 4200, "scripts/transfer.lua:5: ann has not enough" })
  t.eq(w.run { { op = "get", params = { type = "cars", matcher = {}, selector = { include = { "balance" } } } } },
    '[[{"balance":3,"id":"ann"},{"balance":5,"id":"bob"}]]')
  w.db:close()
end)

t.test("a file is checked when it is loaded", function()
  local cases = {
    { "return 1 +", "scripts/x.lua:1:" }, { "error 'at once'", "scripts/x.lua:1: at once" },
    { "return 7", "returns function(db, args)" }, { "return { limits = {} }", "returns function(db, args)" },
    { "return { run = function() end, limit = {} }", "did you mean limits?" },
    { "return { run = function() end, limits = { cpuu = 1 } }", "did you mean cpu?" },
    { "return { run = function() end, limits = { cpu = -1 } }", "limits.cpu is a number above 0" },
    { "while true do end", "the script was ended" }, { "require 'os'", 'no module "os"' },
  }
  for _, case in ipairs(cases) do
    local wrong = world.task(function() return select(2, scripts.load(case[1], "scripts/x.lua")) end)
    t.ok(wrong:find(case[2], 1, true), wrong)
  end
end)

t.test("a mistake has its code and place", function()
  local cases = {
    { "local a\nreturn function(", "syntax", 2 }, { "local a\nreturn a.b", "run", 2 }, { "while true do end", "budget", 1 },
    { "return 7", "no_script" }, { "return { run = function() end, limit = {} }", "unknown_key" },
    { "return { run = function() end, limits = { cpuu = 1 } }", "unknown_key" },
    { "return { run = function() end, limits = { cpu = -1 } }", "limit" }, { "return { run = function() end, limits = 1 }", "limit" },
  }
  for _, case in ipairs(cases) do
    local mistake = world.task(function() return select(3, scripts.load(case[1], "scripts/x.lua")) end)
    t.eq({ mistake.name, mistake.line }, { case[2], case[3] }, case[1])
    t.ok(script_codes.by_name[mistake.name], mistake.name)
    t.ok(not mistake.message:find("scripts/x.lua", 1, true), mistake.message)
  end
end)

t.test("editors know exactly what db has", function()
  local w = bed { names = "return function(db) local all = {} for name in pairs(db) do all[#all + 1] = name end return all end" }
  local described = {}
  for name in runtime.read_file "library/srvthreds/script.lua":gmatch "\nfunction db:([%w_]+)" do described[name] = true end
  local names = json.decode((w.run { task "names" }))[1]
  t.ok(#names > 0)
  for _, name in ipairs(json.copy(names)) do
    t.ok(described[name], name)
    described[name] = nil
  end
  t.eq(described, {})
  w.db:close()
end)

t.test("files come, change, become bad and go", function()
  local folder = temp_folder.new()
  local path = folder.path .. "/one.lua"
  local function write(text) assert(runtime.write_file(path, text)) end
  write "return function() return 1 end"
  local db = open()
  local all, lines = world.task(function() return scripts.new { docdb = db, folder = folder.path } end), {}
  local function line(text) lines[#lines + 1] = text end
  local files = live_files.new(all, { folder.path }, { error = line, info = line }, "script")
  local function look() return world.task(function() return files:look() end) end
  local function run() return select(2, pcall(json.encode, (world.task(function() return db:run { task "one" } end)))) end
  t.eq(run(), "[1]")
  look()
  t.eq(lines, {}, "it is loaded already")
  write "return function() return 2 end"
  look()
  t.eq(run(), "[2]")
  write "return function("
  look()
  t.eq(run(), "[2]", "the good one goes on")
  t.ok(lines[2]:find("the script goes on as it was", 1, true), lines[2])
  os.remove(path)
  t.eq(look(), true)
  t.eq(run(), "[2]", "an editor may be at it")
  t.eq(look(), false)
  t.eq(world.task(function() return select(2, db:run { task "one" }) end).code, 4200)
  db:close()
  folder:close()
end)

return t.finish()
