-- SPDX-License-Identifier: MIT
-- Declared conditions: what matches, over documents and over plain tables, and what explains that it doesn't.
local t = require "srvthreds.spec"
local pattern = require "srvthreds.pattern"
local json = require "core.json"
local where = require "srvthreds.pattern.where"

local class = json.doc_class {
  methods = { is_response_for = function(self, name) return self.re == "published-" .. name end },
  paths = { content = { "data", "content" }, values = { "data", "content", "values" } },
}

-- The items of `p.where { <text> }`.
local function items(text)
  local source = 'local p = require "srvthreds.pattern"\nreturn p.pattern "A" {\n'
    .. 'p.reaction "q" { p.where { type = "q" } { transform = { title = "q" }, '
    .. 'publish = { to = "a", name = "question" } } },\n'
    .. 'p.reaction "a" { p.where { ' .. text .. " } } }"
  local loaded, problems = pattern.load(source, "a.lua")
  if not loaded then error(pattern.format(problems[1]), 2) end
  return loaded.reactions[2].condition.where
end

local function doc_of(values, more)
  local text = '{"data":{"content":{"values":%s}},"id":"e1","source":{"id":"ann"},"type":"x"%s}'
  return json.doc(text:format(values, more or ""),
    class)
end

-- Does it match, over a document and over plain tables?
local function check(expected, text, values, more)
  local list, doc = items(text), doc_of(values, more)
  local plain = json.copy(doc)
  plain.is_response_for = function(self, name) return self.re == "published-" .. name end
  local compiled = where.compile(list)
  t.eq(compiled(doc), expected, ("%s on %s"):format(text, values))
  t.eq(compiled(plain), expected, ("%s on the table %s"):format(text, values))
  t.eq(where.match(list, doc), expected)
  t.eq(where.explain(list, doc) == nil, expected)
end

t.task("type and source", function()
  check(true, 'type = "x"', "{}")
  check(false, 'type = "y"', "{}")
  check(true, 'type = "x", source = "ann"', "{}")
  check(false, 'type = "x", source = "bob"', "{}")
  check(true, 'source = p.one_of("ann", "bob")', "{}")
  check(true, 'type = p.starts_with ""', "{}")
end)

t.task("equality is by JSON type and value", function()
  check(true, '["values.n"] = 1', '{"n":1}')
  check(true, '["values.n"] = 1', '{"n":1.0}')
  check(true, '["values.n"] = 1.0', '{"n":1}')
  check(false, '["values.n"] = 1', '{"n":"1"}')
  check(false, '["values.n"] = "1"', '{"n":1}')
  check(true, '["values.n"] = true', '{"n":true}')
  check(false, '["values.n"] = true', '{"n":"true"}')
  check(false, '["values.n"] = false', "{}")
  check(true, '["values.n"] = p.null', '{"n":null}')
  check(false, '["values.n"] = p.null', "{}")
  check(false, '["values.n"] = 9007199254740993', '{"n":9007199254740992}')
  check(true, '["values.n"] = { a = 1, b = { 1, 2 } }', '{"n":{"a":1.0,"b":[1,2]}}')
  check(false, '["values.n"] = { a = 1, b = { 1, 2 } }', '{"n":{"a":1,"b":[2,1]}}')
  check(true, '["values.n"] = {}', '{"n":{}}')
  check(false, '["values.n"] = {}', '{"n":[]}')
  check(true, '["values.n"] = p.array {}', '{"n":[]}')
end)

t.task("dots reach into objects, arrays match by any element", function()
  check(true, '["values.a.b"] = 2', '{"a":{"b":2}}')
  check(false, '["values.b"] = 2', '{"a":{"b":2}}')
  check(true, '["values.a.b"] = 2', '{"a":[{"b":1},{"b":2}]}')
  check(true, '["values.a"] = 2', '{"a":[1,2]}')
  check(true, '["values.a"] = { 1, 2 }', '{"a":[1,2]}')
  check(true, '["values.a"] = p.at_least(2)', '{"a":[1,2]}')
  check(false, '["values.a"] = p.at_least(3)', '{"a":[1,2]}')
  check(true, '["values.a"] = 1', '[{"a":3},{"a":1}]')
  check(false, '["values.a.b"] = 1', '{"a":"b"}')
  check(true, '["data.content.values.a"] = 1', '{"a":1}')
  check(true, '["values.a b"] = 1', '{"a b":1}')
end)

t.task("an absent field matches nothing but absent", function()
  for _, matcher in ipairs { "p.present()", "p.none_of(1)", "p.one_of(1)", "p.above(0)", "p.below(9)", 'p.matches ""',
    'p.starts_with ""', "p.between(0, 9)", "1" } do
    check(false, '["values.n"] = ' .. matcher, "{}")
  end
  check(true, '["values.n"] = p.absent()', "{}")
  check(true, '["values.n.m"] = p.absent()', '{"n":1}')
  check(false, '["values.n"] = p.absent()', '{"n":1}')
  check(false, '["values.n"] = p.absent()', '{"n":null}')
  check(true, '["values.n"] = p.present()', '{"n":null}')
  check(true, '["values.n"] = p.present()', '{"n":[]}')
  check(false, '["values.n.m"] = p.present()', '{"n":[{"k":1}]}')
  check(true, 'values = p.present()', "{}")
end)

-- Numbers that a pattern chose would make a table of them that takes long to build, and nobody could interrupt it.
t.task("the numbers of a list are no keys of a table", function()
  local seen, found = {}, 0
  local function walk(value)
    if seen[value] then return end
    seen[value] = true
    if type(value) == "function" then
      for i = 1, 200 do
        local name, upvalue = debug.getupvalue(value, i)
        if not name then break end
        if type(upvalue) == "function" or type(upvalue) == "table" then walk(upvalue) end
      end
    else
      found = found + (value["32767"] and 1 or 0)
      t.eq(rawget(value, 32767), nil)
    end
  end
  walk(where.compile(items '["values.n"] = p.one_of(32767, 65534)'))
  t.eq(found, 1)
end)

t.task("matchers", function()
  check(true, '["values.n"] = p.one_of(1, "a", p.null)', '{"n":null}')
  check(true, '["values.n"] = p.one_of { 1, "a" }', '{"n":"a"}')
  check(true, '["values.n"] = p.one_of({ a = 1 })', '{"n":{"a":1}}')
  check(false, '["values.n"] = p.one_of(1, "a")', '{"n":"1"}')
  check(true, '["values.n"] = p.one_of(1, 2.5, 1e300, -3)', '{"n":1.0}')
  check(true, '["values.n"] = p.one_of(1.0, 2.5, 1e300, -3)', '{"n":1}')
  check(true, '["values.n"] = p.one_of(1, 2.5, 1e300, -3)', '{"n":2.5}')
  check(true, '["values.n"] = p.one_of(1, 2.5, 1e300, -3)', '{"n":1e300}')
  check(false, '["values.n"] = p.one_of(1, 2.5, 1e300, -3)', '{"n":3}')
  check(false, '["values.n"] = p.one_of(1, 2.5, 1e300, -3)', '{"n":"0x1.4p+1"}')
  check(true, '["values.n"] = p.one_of(9223372036854775807)', '{"n":9223372036854775807}')
  check(false, '["values.n"] = p.one_of(9223372036854775807)', '{"n":9223372036854775806}')
  check(true, '["values.n"] = p.none_of(1, "a")', '{"n":"1"}')
  check(false, '["values.n"] = p.none_of(1, "a")', '{"n":[2,1]}')
  check(true, '["values.n"] = p.at_least(1)', '{"n":1}')
  check(true, '["values.n"] = p.at_most(1)', '{"n":1}')
  check(false, '["values.n"] = p.above(1)', '{"n":1}')
  check(false, '["values.n"] = p.below(1)', '{"n":1}')
  check(false, '["values.n"] = p.below(1)', '{"n":"0"}')
  check(true, '["values.n"] = p.between(1, 2)', '{"n":1.5}')
  check(false, '["values.n"] = p.between(1, 2)', '{"n":2.5}')
  check(true, '["values.n"] = p.matches "^caf.$"', '{"n":"café"}')
  check(false, '["values.n"] = p.matches "^CAF"', '{"n":"café"}')
  check(false, '["values.n"] = p.matches "1"', '{"n":1}')
  check(true, '["values.n"] = p.starts_with "ca%"', '{"n":"ca%f"}')
end)

t.task("answers", function()
  check(true, 're = p.answer_to "question"', "{}", ',"re":"published-question"')
  check(false, 're = p.answer_to "question"', "{}", ',"re":"other"')
  check(false, 're = p.answer_to "question"', "{}")
  check(true, 're = "e0"', "{}", ',"re":"e0"')
  check(true, 're = p.absent()', "{}")
end)

t.task("a costly regular expression is an error, not a stop", function()
  local list = items '["values.n"] = p.matches "(a+)+$"'
  local err = t.raises(function() where.match(list, doc_of('{"n":"' .. ("a"):rep(5000) .. '?"}')) end, "takes too long")
  t.eq(err.code, 4200)
end)

t.task("explanations name the field, what was expected and what was there", function()
  local function why(text, values, more) return where.explain(items(text), doc_of(values, more)) end
  t.eq(why('type = "y"', "{}"), { field = "type", expected = '"y"', found = '"x"' })
  t.eq(why('type = "x", ["values.n"] = p.at_least(5)', '{"n":4}'),
    { field = "values.n", expected = "at least 5", found = "4" })
  t.eq(why('["values.a.b"] = 1', '{"a":{}}'),
    { field = "values.a.b", expected = "1", found = "absent (the event has no data.content.values.a.b)" })
  t.eq(why('["values.a.b"] = 1', "{}").found, "absent (the event has no data.content.values.a)")
  t.eq(why('["values.a.b"] = 1', '{"a":[{"b":2},{"b":"1"}]}').found, '2, "1"')
  t.eq(why('["values.n"] = p.one_of(1, "a")', '{"n":[2]}'),
    { field = "values.n", expected = 'one of 1, "a"', found = "[2]" })
  t.eq(why('["values.n"] = p.absent()', '{"n":null}'), { field = "values.n", expected = "absent", found = "null" })
  t.eq(why('re = p.answer_to "question"', "{}"),
    { field = "re", expected = 'an answer to "question"', found = "absent (the event has no re)" })
  t.eq(where.describe(items('["values.n"] = p.between(1, 2)')[1]), "values.n: between 1 and 2")
end)

return t.finish()
