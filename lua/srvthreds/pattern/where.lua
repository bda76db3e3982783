-- SPDX-License-Identifier: MIT
-- Declared conditions over events: compiled to closures, and explained field by field.
local json = require "core.json"
local script = require "core.script"

local where = {}

local kind_of, equal = json.kind, json.equal

-- A value that may be reached several ways: an array on the path matches if any of its elements does.
local function any_at(value, path, at, last, test)
  if value == nil then return false end
  if at > last then return test(value) end
  local kind = type(value)
  if kind ~= "table" and kind ~= "userdata" then return false end
  kind = kind_of(value)
  if kind == "object" then return any_at(value[path[at]], path, at + 1, last, test) end
  if kind == "array" then
    for i = 1, #value do
      if any_at(value[i], path, at, last, test) then return true end
    end
  end
  return false
end

-- `test` on a value, or on any element when it is an array.
local function or_elements(test)
  return function(value)
    if test(value) then return true end
    local kind = type(value)
    if (kind == "table" or kind == "userdata") and kind_of(value) == "array" then
      for i = 1, #value do
        if test(value[i]) then return true end
      end
    end
    return false
  end
end

local tests = {}

function tests.eq(expected)
  local kind = type(expected)
  if kind == "table" or kind == "userdata" then return function(value) return equal(value, expected) end end
  return function(value) return value == expected end
end

-- A number as a key: as a text it has a place in a table that nobody can choose, see docs/decisions/sandbox.md.
local function text_of(number)
  local integer = math.tointeger(number)
  return integer and ("%d"):format(integer) or ("%a"):format(number)
end

function tests.one_of(list)
  local scalars, numbers, tables = {}, {}, {}
  for _, item in ipairs(list) do
    local kind = type(item)
    if kind == "table" then tables[#tables + 1] = item
    elseif kind == "number" then numbers[text_of(item)] = true
    else scalars[item] = true end
  end
  local any_number = next(numbers) ~= nil
  return function(value)
    if scalars[value] or any_number and type(value) == "number" and numbers[text_of(value)] then return true end
    if tables[1] then
      for _, item in ipairs(tables) do
        if equal(value, item) then return true end
      end
    end
    return false
  end
end

function tests.at_least(n) return function(value) return math.type(value) ~= nil and value >= n end end
function tests.at_most(n) return function(value) return math.type(value) ~= nil and value <= n end end
function tests.above(n) return function(value) return math.type(value) ~= nil and value > n end end
function tests.below(n) return function(value) return math.type(value) ~= nil and value < n end end
function tests.between(range)
  local low, high = range[1], range[2]
  return function(value) return math.type(value) ~= nil and value >= low and value <= high end
end
function tests.starts_with(text)
  local length = #text
  return function(value) return type(value) == "string" and value:sub(1, length) == text end
end
function tests.matches(_, item)
  local re = item.regex
  return function(value) return type(value) == "string" and re:search(value) end
end

local function present() return true end

local function compile_path(item, test)
  local path, last = item.path, #item.path
  if last == 1 then
    local key = path[1]
    return function(event)
      local value = event[key]
      return value ~= nil and test(value)
    end
  end
  local function walk(event) return any_at(event[path[1]], path, 2, last, test) end
  if last < 4 or path[2] ~= "content" or path[3] ~= "values" then return walk end
  -- The engine's documents have `values` at the root: one step instead of three.
  return function(event)
    local values = type(event) == "userdata" and event.values
    if not values then return walk(event) end
    return any_at(values, path, 4, last, test)
  end
end

local function compile_item(item)
  local op = item.op
  if op == "answer_to" then
    local name = item.value
    return function(event) return event:is_response_for(name) == true end
  end
  if op == "present" then return compile_path(item, present) end
  if op == "absent" or op == "none_of" then
    local found = compile_path(item, op == "absent" and present or or_elements(tests.one_of(item.value)))
    local there = op == "none_of" and compile_path(item, present)
    return function(event) return not found(event) and (not there or there(event)) end
  end
  return compile_path(item, or_elements(tests[op](item.value, item)))
end

-- Items and lists of them, compiled on first use and kept as long as they live.
local compiled = script.weak "k"

---Does the event fulfil one declared condition?
---@param item table of C.where
---@param event any a doc or a plain table (with is_response_for when the item is an answer_to)
---@return boolean
function where.match_item(item, event)
  local fn = compiled[item]
  if not fn then
    fn = compile_item(item)
    compiled[item] = fn
  end
  return fn(event)
end

---All declared conditions of a filter as one function; the first that is false decides.
---@param items table[]? C.where
---@return fun(event: any): boolean
function where.compile(items)
  local fns = {}
  for i, item in ipairs(items or {}) do fns[i] = compile_item(item) end
  if #fns == 0 then return function() return true end end
  if #fns == 1 then return fns[1] end
  if #fns == 2 then
    local first, second = fns[1], fns[2]
    return function(event) return first(event) and second(event) end
  end
  return function(event)
    for i = 1, #fns do
      if not fns[i](event) then return false end
    end
    return true
  end
end

---Does the event fulfil all declared conditions of a filter?
---@param items table[] C.where
---@return boolean
function where.match(items, event)
  local fn = compiled[items]
  if not fn then
    fn = where.compile(items)
    compiled[items] = fn
  end
  return fn(event)
end

local function show(value)
  local ok, text = pcall(json.encode, value)
  if not ok then text = tostring(value) end
  return #text > 120 and text:sub(1, utf8.offset(text, 0, 118) - 1) .. "…" or text
end

local function show_list(list)
  local shown = {}
  for i, value in ipairs(list) do shown[i] = show(value) end
  return table.concat(shown, ", ")
end

local expected = {
  eq = function(v) return show(v) end,
  one_of = function(v) return "one of " .. show_list(v) end,
  none_of = function(v) return "there, and none of " .. show_list(v) end,
  at_least = function(v) return "at least " .. show(v) end,
  at_most = function(v) return "at most " .. show(v) end,
  above = function(v) return "above " .. show(v) end,
  below = function(v) return "below " .. show(v) end,
  between = function(v) return ("between %s and %s"):format(show(v[1]), show(v[2])) end,
  matches = function(v) return "a text that matches /" .. v .. "/" end,
  starts_with = function(v) return "a text that starts with " .. show(v) end,
  present = function() return "there" end,
  absent = function() return "absent" end,
  answer_to = function(v) return ("an answer to %q"):format(v) end,
}

-- The values that the path reaches (at most 3), and the part of the path that is missing where it reaches none.
local function values_at(event, path)
  local found, missing = {}, nil
  local function walk(value, at)
    if value == nil then
      missing = missing or table.concat(path, ".", 1, at - 1)
    elseif at > #path then
      found[#found + 1] = value
    elseif kind_of(value) == "object" or at == 1 then
      walk(value[path[at]], at + 1)
    elseif kind_of(value) == "array" then
      for i = 1, #value do
        if #found < 3 then walk(value[i], at) end
      end
      if #value == 0 then missing = missing or table.concat(path, ".", 1, at) end
    else
      missing = missing or table.concat(path, ".", 1, at)
    end
  end
  walk(event, 1)
  return found, missing
end

---Why the event doesn't fulfil one declared condition: nil when it does.
---@return { field: string, expected: string, found: string }?
function where.explain_item(item, event)
  if where.match_item(item, event) then return nil end
  local found, missing = values_at(event, item.path)
  local text = #found > 0 and show_list(found) or ("absent (the event has no %s)"):format(missing)
  return { field = item.text, expected = expected[item.op](item.value), found = text }
end

---The first declared condition that the event doesn't fulfil, explained; nil when it fulfils all.
---@param items table[]? C.where
---@return { field: string, expected: string, found: string }?
function where.explain(items, event)
  for _, item in ipairs(items or {}) do
    local why = where.explain_item(item, event)
    if why then return why end
  end
end

---@param item table
---@return string "values.x: at least 5", for lists of what is waited for
function where.describe(item)
  return ("%s: %s"):format(item.text, expected[item.op](item.value))
end

return where
