-- SPDX-License-Identifier: MIT
-- Who can want an unbound event: the index, the sources of reactions, the shapes of conditions.
local t = require "srvthreds.spec"
local index = require "srvthreds.pattern.index"
local pattern = require "srvthreds.pattern"
local shape = require "srvthreds.pattern.shape"
local sources = require "srvthreds.pattern.sources"

local function condition(text)
  local source = 'local p = require "srvthreds.pattern"\nreturn p.pattern "A" { p.reaction "a" { ' .. text .. " } }"
  local loaded, problems = pattern.load(source, "a.lua")
  if not loaded then error(pattern.format(problems[1]), 2) end
  return loaded.reactions[1].condition
end

local function entry(id, text) return { id = id, reactions = { { condition = condition(text) } } } end

local function event(type_name, source) return { type = type_name, source = source and { id = source } } end

local function ids(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = item.id end
  return table.concat(out, " ")
end

t.task("candidates by type and source", function()
  local i = index.new {
    entry("any", "p.filter(function() end)"),
    entry("x", 'p.where { type = "x" }'),
    entry("x_ann", 'p.where { type = "x", source = "ann" }'),
    entry("ann", 'p.where { source = "ann", ["values.n"] = 1 }'),
    entry("x_or_y", 'p.where { type = p.one_of("x", "y") }'),
    entry("either", 'p.any { p.where { type = "y" }, p.where { type = "z", source = "bob" } }'),
    entry("both", 'p.all { p.where { type = "y" }, p.any { p.where { source = "cat" }, p.where { type = "y" } } }'),
    entry("wide", 'p.any { p.where { type = "y" }, p.filter(function() end) }'),
    entry("like", 'p.where { type = p.starts_with "x" }'),
  }
  t.eq(ids(i:candidates(event("x", "bob"))), "any like wide x x_or_y")
  t.eq(ids(i:candidates(event("x", "ann"))), "ann any like wide x x_ann x_or_y")
  t.eq(ids(i:candidates(event("y", "cat"))), "any both either like wide x_or_y")
  t.eq(ids(i:candidates(event("z", "bob"))), "any either like wide")
  t.eq(ids(i:candidates(event("z", "ann"))), "ann any like wide")
  t.eq(ids(i:candidates(event("q"))), "any like wide")
  t.eq(i.count, 9)
end)

t.task("patterns come, change and go", function()
  local i, first = index.new(), entry("a", 'p.where { type = "x" }')
  i:add(first)
  t.eq(ids(i:candidates(event "x")), "a")
  i:add(entry("a", 'p.where { type = "y" }'))
  t.eq(ids(i:candidates(event "x")), "")
  t.eq(ids(i:candidates(event "y")), "a")
  i:add({ id = "b" }, condition 'p.where { type = "y", source = "ann" }')
  t.eq(ids(i:candidates(event("y", "ann"))), "a b")
  t.eq({ i:remove { id = "a" }, i:remove { id = "a" }, i:remove { id = "b" }, i.count }, { true, false, true, 0 })
  t.eq({ next(i.by_type) }, {})
  i:add(entry("c", "p.filter(function() end)"))
  i:remove { id = "c" }
  t.eq(ids(i:candidates(event "y")), "")
end)

t.task("a condition with very many keys is found by fewer fields", function()
  local list = {}
  for n = 1, 100 do list[n] = ('"t%d"'):format(n) end
  local many = "{ " .. table.concat(list, ", ") .. " }"
  local i = index.new { entry("a", ("p.where { type = p.one_of(%s), source = p.one_of(%s) }"):format(many, many)) }
  t.eq(ids(i:candidates(event("t7", "t9"))), "a")
  t.eq(ids(i:candidates(event("t700", "t9"))), "")
end)

-- Instructions of one lookup, and the calls in it: what it costs on any machine.
local function cost(count)
  local c = condition 'p.where { type = "x", ["values.n"] = p.at_least(5) }'
  local i = index.new()
  for n = 1, count do
    c.where[1].value = n == count // 2 and "wanted" or "type" .. n
    i:add { id = ("p%05d"):format(n), reactions = { { condition = c } } }
  end
  local wanted, instructions, calls = event("wanted", "ann"), 0, 0
  debug.sethook(function(what)
    if what == "count" then instructions = instructions + 1 else calls = calls + 1 end
  end, "c", 1)
  local found = i:candidates(wanted)
  debug.sethook()
  t.eq(#found, 1)
  return { instructions, calls }
end

t.task("10,000 patterns cost what 10 cost", function()
  local few = cost(10)
  t.ok(few[1] > 10 and few[1] < 1000, tostring(few[1]))
  t.eq(cost(10000), few)
end)

t.task("sources", function()
  local asked = {}
  local lookups = {
    is_member = function(group, id)
      asked[#asked + 1] = group
      return group == "group0" and id == "bob"
    end,
    has_role = function(id, role) return id == "bob" and role == "admin" end,
    is_service = function(address, id) return address == "ann" and id == "org.ann1" end,
  }
  local function allowed(reaction, id) return (sources.allowed(reaction, id, lookups)) end
  local reaction = { allowed_sources = { "ann", "$group0", "/^ROBOT\\d/" } }
  t.eq({ allowed(reaction, "ann"), allowed(reaction, "bob"), allowed(reaction, "robot7"),
    allowed(reaction, "my robot7"),
    allowed(reaction, "cat") }, { true, true, true, false, false })
  t.eq(asked[1], "group0")
  t.ok(allowed(reaction, "org.ann1"), "a service whose address is allowed")
  t.ok(allowed({}, "cat"))
  t.eq({ allowed({ allowed_roles = { "user", "admin" } }, "bob"), allowed({ allowed_roles = { "admin" } }, "ann") },
    { true, false })
  t.eq(allowed({ allowed_sources = { "ann" }, allowed_roles = { "admin" } }, "ann"), false)
  local _, why = sources.allowed(reaction, "cat", lookups)
  t.eq(why, "the source cat is none of ann, $group0, /^ROBOT\\d/")
end)

t.task("shapes", function()
  local c = condition 'p.any { p.where { type = "x" }, p.all { p.where { type = "y" }, p.filter(function() end) } }'
  t.eq(shape.of(c), "any(filter, all(filter, filter))")
  t.eq(shape.shown(c), "any(where, all(where, filter))")
  local a, b = { name = "a", shape = "filter" }, { name = "a", shape = "any(filter)" }
  t.eq({ shape.same(a, { name = "a", shape = "filter" }) }, { true })
  t.eq({ shape.same(a, b) }, { false, 'the condition of "a" was filter and is any(filter)' })
  t.eq({ shape.same(a, nil) }, { false, 'the reaction "a" is gone' })
end)

return t.finish()
