-- SPDX-License-Identifier: MIT
-- Values of the configuration: from text (flags, environment) or from Lua (files) to what the program uses, and back.
local durations = require "srvthreds.durations"
local nearest = require "srvthreds.nearest"

local values = {}

local size_units = { [""] = 1, b = 1, k = 1024, kib = 1024, kb = 1000, m = 1048576, mib = 1048576, mb = 1000000,
  g = 1073741824, gib = 1073741824, gb = 1000000000 }
local truths = { ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false }
local levels = { "debug", "info", "warn", "error" }

local function quoted(value)
  return type(value) == "string" and ('"%s"'):format(value) or tostring(value)
end

local function expected(value, what)
  return nil, ("%s is not %s"):format(quoted(value), what)
end

local function one_of(value, choices)
  for _, choice in ipairs(choices) do
    if choice == value then return value end
  end
  local near = type(value) == "string" and nearest.of(value, choices)
  return nil, ("%s is none of %s"):format(quoted(value), table.concat(choices, ", ")), near
end

local function number_of(value)
  local n = type(value) == "string" and not value:find("[xXeE.]") and tonumber(value) or value
  return math.type(n) == "integer" and n or nil
end

---Milliseconds of "250ms", "30s", "5m", "2h", "7d" or a number of milliseconds.
---@return integer? ms, string? problem
function values.duration(value)
  local ms = durations.parse(number_of(value) or value)
  if not ms then return expected(value, "a duration such as 250ms, 30s, 5m, 2h or 7d") end
  return ms
end

---Bytes of "64KiB", "1MiB", "4m" or a number.
---@return integer? bytes, string? problem
function values.size(value)
  local bytes = number_of(value)
  if not bytes and type(value) == "string" then
    local number, unit = value:match("^(%d+)%s*(%a*)$")
    bytes = number and size_units[unit:lower()] and tonumber(number) * size_units[unit:lower()]
  end
  if not bytes or bytes < 0 then return expected(value, "a size such as 64KiB, 1MiB or a number of bytes") end
  return bytes
end

local parsers = { duration = values.duration, size = values.size }

function parsers.string(value)
  if type(value) ~= "string" then return expected(value, "a text") end
  return value
end

parsers.path = parsers.string

function parsers.port(value)
  local port = number_of(value)
  if not port or port < 0 or port > 65535 then return expected(value, "a port from 0 to 65535") end
  return port
end

function parsers.integer(value)
  local n = number_of(value)
  if not n then return expected(value, "a whole number") end
  return n
end

function parsers.boolean(value)
  if type(value) == "boolean" then return value end
  local truth = truths[tostring(value):lower()]
  if truth == nil then return expected(value, "true or false") end
  return truth
end

function parsers.choice(value, entry)
  return one_of(value, entry.choices)
end

-- "info" or "info,store=debug"; other deployments write it in capitals.
function parsers.levels(value)
  if type(value) ~= "string" then return expected(value, "a level: " .. table.concat(levels, ", ")) end
  for part in value:lower():gmatch("[^,]+") do
    local _, problem, near = one_of(part:match("^[%w_]+=(%a+)$") or part, levels)
    if problem then return nil, problem, near end
  end
  return value:lower()
end

-- A list from one text (commas), or a Lua list.
function parsers.list(value)
  if type(value) == "table" then
    for _, item in ipairs(value) do
      if type(item) ~= "string" then return expected(item, "a text in a list") end
    end
    return value
  end
  local list = {}
  for part in tostring(value):gmatch("[^,]+") do list[#list + 1] = part:match("^%s*(.-)%s*$") end
  return list
end

parsers.paths = parsers.list

---@param entry srvthreds.ConfigKey
---@param value any text or a Lua value
---@return any parsed nil if it can't be used
---@return string? problem what was found and what is expected
---@return string? near
function values.parse(entry, value)
  local parsed, problem, near = parsers[entry.type](value, entry)
  if parsed == nil then return nil, problem, near end
  if entry.min and parsed < entry.min then
    return nil, ("%s is too little: at least %s"):format(quoted(value), values.show(entry, entry.min))
  end
  if entry.only then
    for _, prefix in ipairs(entry.only) do
      if parsed:sub(1, #prefix) == prefix then return parsed end
    end
    return nil, ("%s: %s"):format(quoted(value), entry.later)
  end
  if entry.later then return nil, entry.later end
  return parsed
end

local function largest_unit(n, units)
  for _, unit in ipairs(units) do
    if n ~= 0 and n % unit[2] == 0 then return ("%d%s"):format(n // unit[2], unit[1]) end
  end
  return tostring(n)
end

local shown_durations = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } }
local shown_sizes = { { "GiB", 1073741824 }, { "MiB", 1048576 }, { "KiB", 1024 } }

---@return string text as it could be written on the command line
function values.show(entry, value)
  if value == nil then return "" end
  if entry.secret then return "********" end
  if entry.type == "duration" then return largest_unit(value, shown_durations) end
  if entry.type == "size" then return largest_unit(value, shown_sizes) end
  local text = type(value) == "table" and table.concat(value, ", ") or tostring(value)
  return (text:gsub("(://[^:/@, ]*):[^, ]*@", "%1:********@")) -- the password of a URL
end

return values
