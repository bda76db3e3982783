-- SPDX-License-Identifier: MIT
-- Reads the fields of a p.where { … } into the model's list of declared conditions.
local json = require "core.json"
local names = require "srvthreds.pattern.names"
local regex = require "core.regex"
local values = require "srvthreds.pattern.values"
local show = require "srvthreds.pattern.report".show

local fields = {}

local roots = { type = { "type" }, source = { "source", "id" }, re = { "re" } }
local plain_fields = { "type", "source", "re", "values", "data", "when" }

-- "values.a.b" -> { "data", "content", "values", "a", "b" }; nil when it is no field.
local function path_of(text)
  if roots[text] then return { table.unpack(roots[text]) } end
  local root, rest = text:match("^(%a+)(.*)$")
  if root ~= "values" and root ~= "data" then return nil end
  local path = root == "values" and { "data", "content", "values" } or { "data" }
  if rest == "" then return path end
  if rest:sub(1, 1) ~= "." or rest:sub(-1) == "." or rest:find("..", 1, true) then return nil end
  for part in rest:gmatch("[^.]+") do path[#path + 1] = part end
  return path
end

local function field_hint(text)
  if text:find("^values%.") or text:find("^data%.") then return "a part of its path is empty" end
  if text:find("^event%.") then return "fields are named without `event.`" end
  if text:find("^content%.") then return ('write ["data.%s"]'):format(text) end
  if text == "filter" or text == "condition" then return "a function for the rest of the event is `when`" end
  return ('what is in the values is named ["values.%s"]'):format(text)
end

local function bad_field(ctx, place, text)
  local nearest = names.nearest(text:match("^[^.]*"), plain_fields)
  if nearest and text:find(".", 1, true) then nearest = nearest .. text:match("%..*") end
  if nearest == text then nearest = nil end
  ctx.report:add("bad_field", place, { message = ("p.where has no field `%s`"):format(text),
    expected = 'type, source, re, ["values.NAME"], ["data.NAME"] or when', nearest = nearest,
    hint = not nearest and field_hint(text) or nil })
end

local function bad(ctx, place, message, found, expected, hint)
  ctx.report:add("bad_matcher", place, { message = message, found = found, expected = expected, hint = hint })
end

-- A JSON value, copied; nil after a report.
local function json_value(ctx, value, place, what)
  if ctx.notes[value] then
    return bad(ctx, place, what .. " can't be compared", show(value, ctx.notes[value]), "a value")
  end
  local kind = type(value)
  if kind == "function" then
    return bad(ctx, place, what .. " can't be compared", "a function", "a value or a matcher",
      "a function for the rest of the event is written when = function(event, thred)")
  end
  local ok, err = pcall(json.encode, value)
  if not ok then
    return bad(ctx, place, what .. " can't be compared", show(value), "a JSON value",
      type(err) == "table" and err.message or nil)
  end
  if kind == "table" then return json.copy(value) end
  return value
end

local check = {}

local function number(ctx, note, place, what)
  local value = note.value
  if math.type(value) and value == value then return value end
  return bad(ctx, place, ("p.%s compares numbers"):format(note.word), show(value, ctx.notes[value]),
    ("p.%s(number)"):format(note.word),
    type(value) == "string" and what .. ' in an event is a number or a text; "1" is not 1'
    or nil)
end
check.at_least, check.at_most, check.above, check.below = number, number, number, number

function check.between(ctx, note, place)
  local low, high = note.value[1], note.value[2]
  if note.count == 2 and math.type(low) and math.type(high) and low <= high then return { low, high } end
  local found = {}
  for i = 1, note.count do found[i] = show(note.value[i], ctx.notes[note.value[i]]) end
  bad(ctx, place, "p.between takes two numbers, the lower one first", table.concat(found, ", "), "p.between(low, high)")
end

local function list(ctx, note, place, what)
  if type(note.value) ~= "table" or note.count == 0 or #note.value == 0 then
    return bad(ctx, place, ("p.%s needs at least one value"):format(note.word), "nothing",
      ("p.%s(\"a\", \"b\")"):format(note.word))
  end
  if not values.is_list(note.value) or note.count > 1 and #note.value ~= note.count then
    return bad(ctx, place, ("p.%s takes a list of values"):format(note.word), "a list with holes or names",
      ("p.%s(\"a\", \"b\"), p.null for null"):format(note.word))
  end
  local out = {}
  for i, value in ipairs(note.value) do
    out[i] = json_value(ctx, value, place, ("%s, value %d of p.%s,"):format(what, i, note.word))
    if out[i] == nil then return nil end
  end
  return out
end
check.one_of, check.none_of = list, list

function check.starts_with(ctx, note, place)
  if type(note.value) == "string" then return note.value end
  bad(ctx, place, "p.starts_with compares texts", show(note.value, ctx.notes[note.value]), 'p.starts_with "text"')
end

function check.matches(ctx, note, place)
  if type(note.value) ~= "string" then
    return bad(ctx, place, "p.matches needs a regular expression", show(note.value, ctx.notes[note.value]),
      'p.matches "regex"')
  end
  return note.value
end

function check.answer_to(ctx, note, place, _, text)
  if text ~= "re" then
    return bad(ctx, place, ("p.answer_to can't be used for `%s`"):format(text), nil, 're = p.answer_to "NAME"')
  end
  return values.text(ctx, note.value, place, "p.answer_to's name")
end

function check.present() return true end
check.absent = check.present

-- A compiled regex beside the text, or nil after a report.
local function compile(ctx, source, place)
  local ok, re = pcall(regex.compile, source, {})
  if ok then return re end
  ctx.report:add("bad_regex", place, { message = "the regular expression can't be read", found = show(source),
    hint = type(re) == "table" and re.message or tostring(re) })
end

-- `source = …` and `type = …` are texts: another type could never match.
local function check_root(ctx, item, place)
  if not roots[item.text] or item.op ~= "eq" or type(item.value) == "string" then return true end
  if item.value == json.null and item.text == "re" then return true end
  values.wrong(ctx, item.value, place, item.text, "a text or a matcher")
  return false
end

local function item_of(ctx, text, value, place)
  local path = path_of(text)
  if not path then return bad_field(ctx, place, text) end
  local item = { path = path, text = text }
  local note = ctx.notes[value]
  if note and note.kind == "unknown" then return nil end
  if note and note.kind ~= "op" then
    return bad(ctx, place, ("%s can't be compared"):format(text), show(value, note), "a value or a matcher")
  end
  if note then
    item.op, item.value = note.op, check[note.op](ctx, note, place, text, text)
  elseif (text == "values" or text == "data") and type(value) == "table" then
    return bad(ctx, place, ("`%s` is compared field by field"):format(text), show(value),
      ('["%s.NAME"] = value'):format(text))
  else
    item.op, item.value = "eq", json_value(ctx, value, place, text)
  end
  if item.value == nil then return nil end
  if item.op == "present" or item.op == "absent" then item.value = nil end
  if not check_root(ctx, item, place) then return nil end
  if item.op == "matches" then
    item.regex = compile(ctx, item.value, place)
    if not item.regex then return nil end
  end
  return item
end

---Reads the fields of `note` (a p.where) into `into.where` and `into.test`.
function fields.read(ctx, note, into)
  local place = { file = note.file, line = note.line }
  local value = note.fields
  if type(value) ~= "table" or ctx.notes[value] then
    values.wrong(ctx, value, place, "what p.where takes", "a table of fields: p.where { type = \"…\" }",
      type(value) == "function" and "a function alone is p.filter(function(event, thred) … end)" or nil)
    return
  end
  into.where = {}
  for _, key in ipairs(names.sorted(value)) do
    local at = { file = note.file, line = note.line, key = key, under = "where" }
    if key == "when" then
      into.test = values.fn(ctx, value.when, at, "when")
    else
      into.where[#into.where + 1] = item_of(ctx, key, value[key], at)
    end
  end
  for key, item in next, value do
    if type(key) ~= "string" then
      ctx.report:add("bad_field", place, { message = "p.where takes fields with names only",
        found = ("%s at position %s"):format(show(item, ctx.notes[item]), tostring(key)),
        expected = 'type, source, re, ["values.NAME"], ["data.NAME"] or when' })
    end
  end
  if next(value) == nil then
    ctx.report:add("empty_where", place, { message = "p.where has no field: it would match every event",
      expected = 'at least one field, like type = "…"' })
  end
  -- Cheap and selective ones first: type, source, then the rest in byte order.
  local rank = { type = 1, source = 2 }
  table.sort(into.where, function(a, b)
    local x, y = rank[a.text] or 3, rank[b.text] or 3
    if x ~= y then return x < y end
    return a.text < b.text
  end)
  if #into.where == 0 then into.where = nil end
end

return fields
