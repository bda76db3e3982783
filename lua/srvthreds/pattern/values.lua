-- SPDX-License-Identifier: MIT
-- Checks of single values. Each takes (ctx, value, place, what): `what` names the thing in messages ("expiry.after");
-- each returns the value in the model's form, or nil after it reported what is wrong.
local json = require "core.json"
local names = require "srvthreds.pattern.names"
local show = require "srvthreds.pattern.report".show

local values = {}

---@class srvthreds.pattern.Context
---@field report srvthreds.pattern.Report
---@field notes table<table, table>

local function wrong(ctx, value, place, what, expected, hint)
  ctx.report:add("wrong_type", place, { message = what .. " must be " .. expected,
    found = show(value, ctx.notes[value]), expected = expected, hint = hint })
end
values.wrong = wrong

local function of_type(lua_type, expected)
  return function(ctx, value, place, what)
    if type(value) == lua_type then return value end
    local hint
    if lua_type == "boolean" and (value == "true" or value == "false") then
      hint = ("write %s without quotes"):format(value)
    end
    return wrong(ctx, value, place, what, expected, hint)
  end
end

values.boolean = of_type("boolean", "true or false")
values.fn = of_type("function", "a function")

function values.text(ctx, value, place, what)
  if type(value) == "string" and value:find("%S") then return value end
  return wrong(ctx, value, place, what, "a text that isn't empty")
end

---A whole number from 0.
function values.count(ctx, value, place, what)
  local number = math.type(value) and math.tointeger(value)
  if number and number >= 0 then return number end
  return wrong(ctx, value, place, what, "a whole number, 0 or more")
end

---A plain table of JSON values, copied.
function values.object(ctx, value, place, what)
  if type(value) == "table" and not ctx.notes[value] then
    local ok, copy = pcall(json.copy, value)
    if ok and not json.is_array(copy) and #copy == 0 then return copy end
  end
  return wrong(ctx, value, place, what, "a table of JSON values with names")
end

local units = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, [""] = 1 }
local unit_words = { sec = "s", secs = "s", second = "s", seconds = "s", min = "m", mins = "m", minute = "m",
  minutes = "m",
  hr = "h", hrs = "h", hour = "h", hours = "h", day = "d", days = "d", msec = "ms", millis = "ms", milliseconds = "ms" }

local function parse_duration(value)
  if type(value) == "number" then return value >= 0 and value < 9e15 and math.tointeger(value) or nil end
  if type(value) ~= "string" then return nil end
  local number, unit = value:match("^(%d+%.?%d*)(%a*)$")
  if not number or not units[unit] then return nil end
  local ms = tonumber(number) * units[unit]
  return ms < 9e15 and math.floor(ms + 0.5) or nil
end

-- "5 minutes" -> "5m", when that is what was meant.
local function duration_meant(value)
  if type(value) ~= "string" then return nil end
  local number, word = value:lower():match("^%s*(%d+%.?%d*)%s*(%a*)%s*$")
  local unit = number and (units[word] and word or unit_words[word])
  return unit and ('"%s%s"'):format(number, unit) or nil
end

---A duration -> ms.
function values.duration(ctx, value, place, what)
  local ms = parse_duration(value)
  if ms then return ms end
  ctx.report:add("bad_duration", place, { message = what .. " is no duration", found = show(value, ctx.notes[value]),
    expected = 'a number of milliseconds, or "250ms", "30s", "5m", "2h", "7d"', nearest = duration_meant(value) })
end

---A duration above zero.
function values.time_limit(ctx, value, place, what)
  local ms = values.duration(ctx, value, place, what)
  if ms == 0 then return wrong(ctx, value, place, what, "longer than nothing") end
  return ms
end

local sizes = { B = 1, KB = 1024, MB = 1048576, GB = 1073741824, [""] = 1 }

---A size -> bytes.
function values.size(ctx, value, place, what)
  local bytes
  if type(value) == "number" then
    bytes = math.tointeger(value)
  elseif type(value) == "string" then
    local number, unit = value:match("^(%d+)%s*(%a*)$")
    bytes = number and sizes[unit:upper()] and tonumber(number) * sizes[unit:upper()]
  end
  if math.type(bytes) == "integer" and bytes > 0 then return bytes end
  ctx.report:add("bad_size", place, { message = what .. " is no size", found = show(value, ctx.notes[value]),
    expected = 'a number of bytes, or "512KB", "32MB"' })
end

---One of a few words.
---@param choices string[]
function values.word(choices)
  return function(ctx, value, place, what)
    for _, choice in ipairs(choices) do
      if value == choice then return value end
    end
    local quoted = {}
    for i, choice in ipairs(choices) do quoted[i] = '"' .. choice .. '"' end
    ctx.report:add("unknown_word", place, { message = what .. " has none of its possible values",
      found = show(value, ctx.notes[value]), expected = names.join(quoted), nearest = names.nearest(value, choices) })
  end
end

---Is `value` a list: keys 1…n and nothing else? An empty table counts.
function values.is_list(value)
  if type(value) ~= "table" then return false end
  local count = 0
  for key in next, value do
    if math.type(key) ~= "integer" then return false end
    count = count + 1
  end
  for i = 1, count do -- by its keys: with holes `#` may be any border
    if value[i] == nil then return false end
  end
  return true
end

---A text or a list of texts -> a list that isn't empty.
function values.texts(ctx, value, place, what)
  if type(value) == "string" then value = { value } end
  if not values.is_list(value) or ctx.notes[value] or #value == 0 then
    return wrong(ctx, value, place, what, "a text or a list of texts")
  end
  local list = {}
  for i, item in ipairs(value) do
    list[i] = values.text(ctx, item, place, ("%s[%d]"):format(what, i))
  end
  return #list == #value and list or nil
end

---Reads a table with fixed keys: `schema` is key -> check. Unknown keys are reported with the nearest known one.
---@param options { what: string, prefix: string?, positions: boolean?, under: string?, hint: (fun(key: any,
---  nearest: string?): string?)? } under: what the table belongs to in the source, when the place has no key
---@return table read, boolean clean
function values.fields(ctx, value, schema, place, options)
  local read, clean, prefix = {}, true, options.prefix or ""
  local list -- only for messages: sorted when one is needed
  local function known()
    list = list or names.sorted(schema)
    return list
  end
  for _, key in ipairs(names.sorted(value)) do
    local check = schema[key]
    local at = { file = place.file, line = place.line, key = key, under = options.under or place.key }
    if check then
      read[key] = check(ctx, value[key], at, prefix .. key)
      if read[key] == nil then clean = false end
    else
      clean = false
      local nearest = names.nearest(key, known())
      ctx.report:add("unknown_key", at, { message = ("unknown key `%s` in %s"):format(key, options.what),
        expected = names.join(known()), nearest = nearest, hint = options.hint and options.hint(key, nearest) })
    end
  end
  for key, item in next, value do
    if type(key) ~= "string" and not (options.positions and math.type(key) == "integer") then
      clean = false
      ctx.report:add("unknown_key", place, { message = ("an entry without a name in %s"):format(options.what),
        found = ("%s at position %s"):format(show(item, ctx.notes[item]), tostring(key)), expected = names.join(known()),
        hint = options.hint and options.hint(key) })
    end
  end
  return read, clean
end

return values
