-- SPDX-License-Identifier: MIT
-- What loading gives: the model's form, defaults, modules, the face that scripts see, limits.
local t = require "srvthreds.spec"
local pattern = require "srvthreds.pattern"
local json = require "core.json"
local runtime = require "core.runtime"
local script = require "core.script"

local head = 'local p = require "srvthreds.pattern"\n'

local function load(source, options)
  local loaded, problems, required = pattern.load(head .. source, "orders.lua", options)
  if not loaded then error("not loaded:\n" .. pattern.format(problems[1]), 2) end
  return loaded, problems, required
end

local function refused(source, name, options)
  local loaded, problems = pattern.load(head .. source, "orders.lua", options)
  t.eq(loaded, nil)
  for _, problem in ipairs(problems) do
    if problem.name == name then return problem end
  end
  error("no problem " .. name .. " but\n" .. pattern.format(problems[1]), 2)
end

-- A copy whose functions are the word "fn", for comparing.
local function form(value)
  if type(value) == "function" then return "fn" end
  if type(value) ~= "table" or value == json.null then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = form(item) end
  return copy
end

local function call(fn, ...)
  return script.call({ now = 0, seed = 1 }, { cpu = 200, wall = 2000, memory = 1 << 25 }, fn, ...)
end

t.task("a table of the file is read-only in the pattern's functions, at every depth, and else as it was", function()
  local loaded = load [[
local names, seen, made = { "a", "b" }, { deep = { n = 1 } }, {}
made[1] = "while it loads"
local lib = { twice = function(n) return 2 * n end, list = names }
local function note(list, key, value) list[key] = value end
return p.pattern "Tables" { p.reaction "a" { p.filter(function(event)
  if event.way == 1 then seen.x = 1 end
  if event.way == 2 then table.insert(names, "c") end
  if event.way == 3 then note(seen.deep, "n", 2) end
  if event.way == 4 then table.sort(names) end
  if event.way == 5 then rawset(made, 1, 2) end
  local all = {}
  for i, name in ipairs(names) do all[i] = name end
  for key in pairs(seen) do all[#all + 1] = key end
  return table.concat(all, ",") == "a,b,deep" and #names == 2 and table.concat(names) == "ab" and lib.twice(2) == 4
    and made[1] == "while it loads" and seen.deep.n == 1 and next(seen) == "deep" and table.unpack(names) == "a"
end) {} } }]]
  local fn = loaded.reactions[1].condition.test
  local names = { "seen", "names", "seen", nil, nil }
  for way = 1, 5 do
    local ok, e = call(fn, { way = way })
    t.eq(ok, false, "way " .. way)
    if names[way] then t.ok(e.message:find('the file\'s table "' .. names[way] .. '" is read-only', 1, true), e.message) end
  end
  t.eq({ call(fn, {}) }, { true, true })
end)

t.task("what the compiler writes is read right: many constants, lines far apart, functions in functions", function()
  local bytecode = require "srvthreds.pattern.bytecode"
  local source = { "local a, b, c = 0, 0, 0 local function f(x) local own = ('text'):rep(3) .. 1.5 .. 7 .. tostring(nil)" }
  for i = 1, 300 do source[#source + 1] = ("own = own .. %d .. 'constant %d'"):format(i * 100000, i) end
  source[#source + 1] = ("\n"):rep(200) .. "local function g() return function() b = c + x own = a end end c = 1 return g end return f"
  local fn = assert(_G.load(table.concat(source, "\n"), "@many"))()
  local found = {}
  for i, line in pairs(bytecode.assigned(fn)) do found[debug.getupvalue(fn, i)] = line end
  t.eq(found, { b = 502, c = 502 })
end)

t.task("the whole model", function()
  local loaded = load [[
return p.pattern "Contact Response" {
  id = "contact", description = "d", instance_interval = "1s", max_instances = 3, broadcast_allowed = true,
  echo_responses = true, active = false, finished_keep = "1h", limits = { cpu = "50ms", memory = "8MB" },
  meta = { owner = "ann" }, on_upgrade = function() end,
  p.reaction "first" {
    allowed_sources = { "ann", "$group0", "/^robot/" }, allowed_roles = "admin", allow_unbound_events = true,
    expiry = { after = "5m", transition = { name = "second", input = "local", local_name = "kept" } },
    p.any {
      p.where { type = "x", source = p.one_of("a", "b"), ["values.n"] = p.at_least(3), when = function() end } {
        on_true = function() end, transform = { title = "t", content = function() end },
        publish = { to = { "ann", { "$group0" } }, name = "question", on_publish = function() end },
        transition = "$noTransition",
        spawn = { names = { "other" }, type = "sibling", input = "forward", context = true },
      },
      p.all { p.filter(function() end), p.where { type = "y" } } {
        transform = function() end, publish = function() end,
      },
    } { transition = "second" },
  },
  p.reaction "second" { p.where { re = p.answer_to "question" } { spawn = "other" } },
}]]
  t.eq(form(loaded), {
    id = "contact", name = "Contact Response", description = "d", file = "orders.lua", instance_interval = 1000,
    max_instances = 3, broadcast_allowed = true, echo_responses = true, active = false, finished_keep = 3600000,
    limits = { cpu = 50, wall = 2000, memory = 8 << 20 }, meta = { owner = "ann" }, on_upgrade = "fn",
    by_name = { first = 1, second = 2 },
    reactions = {
      { name = "first", index = 1, line = 6, allowed_sources = { "ann", "$group0", "/^robot/" },
        allowed_roles = { "admin" }, allow_unbound_events = true,
        expiry = { after = 300000, transition = { name = "second", input = "local", local_name = "kept" } },
        shape = "any(filter, all(filter, filter))",
        condition = { kind = "or", path = "", line = 9, transition = { name = "second", input = "default" },
          operands = {
            { kind = "filter", path = "1", line = 10, test = "fn", on_true = "fn",
              where = {
                { path = { "type" }, text = "type", op = "eq", value = "x" },
                { path = { "source", "id" }, text = "source", op = "one_of", value = { "a", "b" } },
                { path = { "data", "content", "values", "n" }, text = "values.n", op = "at_least", value = 3 },
              },
              transform = { title = "t", content = "fn" },
              publish = { to = { "ann", "$group0" }, name = "question", on_publish = "fn" },
              transition = { name = "$noTransition", input = "default" },
              spawn = { names = { "other" }, type = "sibling", input = "forward", context = true } },
            { kind = "and", path = "2", line = 16, transform = "fn", publish = { to = "fn" },
              operands = {
                { kind = "filter", path = "2.1", line = 16, test = "fn" },
                { kind = "filter", path = "2.2", line = 16,
                  where = { { path = { "type" }, text = "type", op = "eq", value = "y" } } },
              } },
          } } },
      { name = "second", index = 2, line = 21, allow_unbound_events = false, shape = "filter",
        condition = { kind = "filter", path = "", line = 21,
          where = { { path = { "re" }, text = "re", op = "answer_to", value = "question" } },
          spawn = { names = { "other" }, type = "child", input = "default", context = false } } },
    },
  })
end)

t.task("defaults", function()
  local loaded = load [[
return p.pattern "My First Pattern" {
  p.reaction { p.where { type = "x" } },
  p.reaction() { expiry = { after = 5 }, p.where { type = "y" } },
}]]
  t.eq(loaded.id, "my_first_pattern")
  t.eq(loaded.reactions[1].name, "My First Pattern_0")
  t.eq(loaded.by_name["My First Pattern_1"], 2)
  t.eq(loaded.reactions[2].expiry, { after = 5, transition = { name = "$next", input = "default" } })
  t.eq(loaded.limits, { cpu = 200, wall = 2000, memory = 32 << 20 })
  t.eq({ loaded.active, loaded.finished_keep, loaded.max_instances, loaded.instance_interval },
    { true, 86400000, 0, 0 })
end)

t.task("warnings load, and are told", function()
  local loaded, problems = load [[
return p.pattern "A" { p.reaction "a" { p.where { type = "x" } { transform = { title = "x" } } } }]]
  t.ok(loaded)
  t.eq(#problems, 1)
  t.eq({ problems[1].severity, problems[1].code }, { "warning", "SRV-P023" })
end)

t.task("addressees with functions inside a list", function()
  local loaded = load [[
return p.pattern "A" { p.reaction "a" { p.where { type = "x" } { transform = { title = "x" },
  publish = { to = { "ann", { function(event) return event.who end, function() end } } } } } }]]
  local ok, to = call(loaded.reactions[1].condition.publish.to, { who = { "bob" } })
  t.ok(ok, to)
  t.eq(to, { "ann", { "bob" } })
end)

t.task("modules: by path, once, and their lines", function()
  local files = { ["patterns/lib/geo.lua"] = 'local p = require "srvthreds.pattern"\n'
    .. 'local geo = { made = {} }\nfunction geo.seen(where)\n  local c = p.where { type = where }\n  return c\nend\n'
    .. "return geo\n" }
  local source = [[
local geo, again = require "lib.geo", require "lib.geo"
assert(geo == again)
return p.pattern "A" { p.reaction "a" { geo.seen "x" } }]]
  local loaded, _, required = load(source, { modules = files })
  t.eq(required, { "lib.geo" })
  t.eq(loaded.reactions[1].condition.where[1].value, "x")
  local problem = refused(source:gsub('seen "x"', "seen(7)"), "wrong_type", { modules = files })
  t.eq({ problem.file, problem.line }, { "patterns/lib/geo.lua", 4 })
  files["patterns/lib/geo.lua"] = "return {\n  a = 1\n  b = 2\n}"
  problem = refused(source, "syntax", { modules = files })
  t.eq({ problem.file, problem.line }, { "patterns/lib/geo.lua", 3 })
  files["patterns/lib/geo.lua"] = 'return require "lib.geo"'
  t.ok(refused(source, "run", { modules = files }).message:find("requires itself", 1, true))
  t.eq(refused('local x = require(7) return p.pattern "A" {}', "no_module").code, "SRV-P005")
end)

t.task("the face is read-only, and its nodes are", function()
  t.ok(refused("p.where = 1", "run").message:find("read-only", 1, true))
  t.ok(refused("local c = p.where {} c.x = 1", "run").message:find("is finished when it is written", 1, true))
  t.ok(refused("return getmetatable(p)", "no_pattern"))
  t.ok(refused("setmetatable(p, {})", "run"))
  t.ok(refused("p.array(string)", "run").message:find("plain list", 1, true))
  t.eq(refused("contact = 1", "run").line, 2)
  load [[
assert(p.null ~= nil and p.null == p.null)
assert(p.array { 1, 2 }[2] == 2 and p.array {})
return p.pattern "A" { p.reaction "a" { p.where { ["values.x"] = p.null, ["values.y"] = p.array {} } } }]]
end)

t.task("facts of the step come from the host", function()
  local source = [[
return p.pattern "A" { p.reaction "a" { p.filter(function(event, thred)
  return p.id(thred) .. p.now() .. p.reaction_of(thred) .. #p.participants(thred) .. p.step(thred)
end) } }]]
  local host = { now = function() return 5 end, id = function(thred) return thred.me end,
    reaction_of = function() return "r" end, participants = function() return { 1, 2 } end,
    step = function() return 9 end }
  local test = load(source, { host = host }).reactions[1].condition.test
  local ok, value = call(test, {}, { me = "t" })
  t.ok(ok, value)
  t.eq(value, "t5r29")
  test = load(source).reactions[1].condition.test
  local err
  ok, err = call(test, {}, {})
  t.eq(ok, false)
  t.ok(err.message:find("p.id() works in a pattern's functions", 1, true), err.message)
  pattern.host = host
  t.ok(call(test, {}, { me = "t" }))
  pattern.host = {}
end)

t.task("an unknown name at run time names the nearest", function()
  local test = load [[return p.pattern "A" { p.reaction "a" { p.filter(function() return p.nwo() end) } }]]
    .reactions[1].condition.test
  local _, err = call(test)
  t.ok(err.message:find("p.nwo doesn't exist; did you mean p.now?", 1, true), err.message)
end)

t.task("endless loops and memory bombs while loading", function()
  local problem = refused("while true do end", "budget")
  t.eq(problem.line, 2)
  t.ok(pattern.format(problem):find("SRV-P003", 1, true))
  refused("while true do pcall(function() while true do end end) end", "budget")
  refused('local x = {} while true do x[#x + 1] = ("x"):rep(1000) .. #x end', "budget")
end)

t.task("what would never end when it is read", function()
  local function found(source) return refused(source, "wrong_type").found end
  local after = 'return p.pattern "A" { p.reaction "a" { c } }'
  t.eq(found('local c = p.where { type = "x" } for _ = 1, 40 do c = p.any { c, c } end ' .. after),
    "more than 20000 values")
  t.eq(found('local l = {} local c = p.any(l) l[1], l[2] = c, c ' .. after), "a table inside itself")
  t.eq(found('local v = {} v.v = v local c = p.where { ["values.x"] = v } ' .. after), "a table inside itself")
  t.eq(found('local v = {} for _ = 1, 50 do v = { v, v } end local c = p.where { ["values.x"] = v } ' .. after),
    "more than 20000 values")
  t.eq(found('local v = "ann" for _ = 1, 40 do v = { v, v } end local c = p.where { type = "x" } '
    .. '{ transform = { title = "x" }, publish = { to = v } } ' .. after), "more than 20000 values")
  t.eq(found('local v = 1 for _ = 1, 10000 do v = { v } end local c = p.where { ["values.x"] = v } ' .. after),
    "tables nested more than 150 deep")
end)

t.task("a tree that is too deep", function()
  refused('local c = p.where { type = "x" } for _ = 1, 60 do c = p.any { c } end\n'
    .. 'return p.pattern "A" { p.reaction "a" { c } }', "not_a_condition")
end)

t.task("one condition in two places", function()
  local loaded = load [[
local c = p.where { type = "x" }
return p.pattern "A" { p.reaction "a" { p.any { c { transition = "b" }, c } }, p.reaction "b" { c } }]]
  local operands = loaded.reactions[1].condition.operands
  t.eq({ operands[1].transition.name, operands[2].transition, operands[2].path }, { "b", nil, "2" })
end)

t.task("a first reaction that its thred comes back to may wait for an answer", function()
  load [[
return p.pattern "A" { p.reaction "a" { p.any {
  p.where { type = "x" } { transform = { title = "x" }, publish = { to = "ann", name = "q" }, transition = "a" },
  p.where { re = p.answer_to "q" } { transition = "$terminate" },
} } }]]
end)

t.test("explain", function()
  t.ok(pattern.explain_code "srv-p012":find("two reactions of one name", 1, true))
  t.eq(pattern.explain_code "P012", pattern.explain_code "SRV-P012")
  t.eq(pattern.explain_code "SRV-P999", nil)
  local seen = {}
  for _, entry in ipairs(pattern.codes) do
    t.ok(not seen[entry.code] and not seen[entry.name], entry.code)
    seen[entry.code], seen[entry.name] = true, true
  end
end)

for _, name in ipairs { "contact", "echo" } do
  t.task("the ef-detection profile: " .. name, function()
    local file = "run-profiles/ef-detection/patterns/" .. name .. ".lua"
    local loaded, problems = pattern.load(runtime.read_file(file), file)
    t.ok(loaded, problems[1] and pattern.format(problems[1]))
    t.eq(#problems, 0)
  end)
end

t.test("editors know exactly what the face has", function()
  local made = require "srvthreds.pattern.nodes".new({}, function() return {} end)
  t.eq(getmetatable(made.face), false)
  t.eq(getmetatable(made.face.where {}), false)
  local known = made.known
  local described = { null = true }
  for name in runtime.read_file "library/srvthreds/pattern.lua":gmatch "\nfunction p%.([%w_]+)" do described[name] = true end
  for _, name in ipairs(known) do
    t.ok(described[name], name)
    described[name] = nil
  end
  t.eq(described, {})
end)

t.task("the pattern of the language's description", function()
  local loaded, problems = pattern.load(runtime.read_file "tests/spec/golden/example_pattern.txt", "contact.lua")
  t.ok(loaded, problems[1] and pattern.format(problems[1]))
  t.eq({ loaded.id, #problems, #loaded.reactions }, { "contact_response", 0, 3 })
  local filter = loaded.reactions[2].condition.operands[1]
  local event = setmetatable({}, { __index = { is_response_for = function(_, name) return name == "question" end,
    value = function(_, name) return name == "deploy" or nil end } })
  local ok, matched = call(filter.test, event, {})
  t.eq({ ok, matched }, { true, true })
end)

return t.finish()
