-- SPDX-License-Identifier: MIT
-- Checks the template of a transform: JSON values whose leaves may be functions.
local json = require "core.json"
local names = require "srvthreds.pattern.names"
local values = require "srvthreds.pattern.values"
local show = require "srvthreds.pattern.report".show

local template = {}

local fields = { "title", "description", "display", "advice", "content" }
-- The wire's fields; patterns write them as they are sent.
local wire = {
  display = { "uri" },
  advice = { "eventType", "title", "template" },
  content = { "valuesType", "values", "tasks", "resources", "items", "error" },
}

local function bad(ctx, place, path, found, expected, hint)
  ctx.report:add("bad_template", place, { message = ("%s can't be sent"):format(path), found = found,
    expected = expected or "a JSON value or a function(event, thred)", hint = hint })
  return false
end

local check_value

-- nil when the table is a list, an object or empty; else what is wrong with it, and what to do.
local function shape_problem(value)
  local positions, name = 0, nil
  for key in next, value do
    if math.type(key) == "integer" then positions = positions + 1
    elseif type(key) ~= "string" then return "a key that is a " .. type(key)
    elseif not name or key < name then name = key end
  end
  if name and positions > 0 then return ("a table with both positions and names (%s)"):format(name) end
  if name and json.is_array(value) then return ("a list with a name (%s)"):format(name) end
  for i = 1, positions do
    if value[i] == nil then return ("a list with holes: [%d] is missing"):format(i), "put p.null where nothing is" end
  end
end

local function check_table(ctx, value, place, path, open)
  if open[value] then return bad(ctx, place, path, "a table inside itself") end
  local problem, hint = shape_problem(value)
  if problem then return bad(ctx, place, path, problem, "a list (positions 1…n) or an object (names)", hint) end
  open[value] = true
  local clean = true
  for _, key in ipairs(names.sorted(value)) do
    local at = { file = place.file, line = place.line, key = key, under = place.key }
    clean = check_value(ctx, value[key], at, path .. "." .. key, open) and clean
  end
  for i, item in ipairs(value) do
    clean = check_value(ctx, item, place, ("%s[%d]"):format(path, i), open) and clean
  end
  open[value] = nil
  return clean
end

function check_value(ctx, value, place, path, open)
  local kind = type(value)
  local note = ctx.notes[value]
  if note then return bad(ctx, place, path, show(value, note)) end
  if kind == "function" or kind == "boolean" or value == json.null then return true end
  if kind == "string" then
    return utf8.len(value) ~= nil or bad(ctx, place, path, "a text that isn't UTF-8")
  end
  if kind == "number" then
    return value == value and value ~= math.huge and value ~= -math.huge or bad(ctx, place, path, show(value))
  end
  if kind == "table" then return check_table(ctx, value, place, path, open) end
  return bad(ctx, place, path, show(value))
end

local function warn_unknown(ctx, value, place, field)
  if type(value) ~= "table" or ctx.notes[value] then return end
  for _, key in ipairs(names.sorted(value)) do
    local known = false
    for _, name in ipairs(wire[field]) do known = known or name == key end
    if not known then
      ctx.report:add("wire_key", { file = place.file, line = place.line, key = key, under = field }, {
        message = ("%s has no field `%s`"):format(field, key), expected = names.join(wire[field]),
        nearest = names.nearest(key, wire[field]) })
    end
  end
end

local function value_check(field)
  return function(ctx, value, place)
    if not check_value(ctx, value, place, "transform." .. field, {}) then return nil end
    if wire[field] then warn_unknown(ctx, value, place, field) end
    return value
  end
end

local schema = {}
for _, field in ipairs(fields) do schema[field] = value_check(field) end

function schema.re(ctx, value, place, what)
  if type(value) == "string" or type(value) == "function" then return value end
  return values.wrong(ctx, value, place, what, "an event's id or a function(event, thred)")
end

---The `transform` directive: a function, or a template.
function template.check(ctx, value, place)
  if type(value) == "function" then return value end
  if type(value) ~= "table" or ctx.notes[value] then
    return values.wrong(ctx, value, place, "transform", "a template (a table) or a function(event, thred)")
  end
  local _, clean = values.fields(ctx, value, schema, place, { what = "a template", prefix = "transform." })
  return clean and json.copy(value) or nil -- what the script keeps of it may change
end

return template
