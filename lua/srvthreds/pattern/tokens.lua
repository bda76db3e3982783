-- SPDX-License-Identifier: MIT
-- Finds the line and column of a key in Lua source, for the mark in messages. Only what messages need: tokens and the
-- nesting of brackets; text that isn't valid Lua gives fewer positions, never an error.

local tokens = {}

local function long_bracket(source, at)
  local level = source:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = source:find("]" .. level .. "]", at, true)
  return stop or #source
end

local function short_string(source, at)
  local quote, i = source:sub(at, at), at + 1
  while i <= #source do
    local c = source:sub(i, i)
    if c == "\\" then i = i + 1
    elseif c == quote or c == "\n" then return i end
    i = i + 1
  end
  return #source
end

local function skip_comment(source, at)
  local stop = source:sub(at + 2, at + 2) == "[" and long_bracket(source, at + 2)
  return stop or (source:find("\n", at, true) or #source + 1) - 1
end

-- One token from `at`, which is no space: kind, last position, value.
local function next_token(source, at)
  local c = source:sub(at, at)
  if source:find("^%-%-", at) then return "comment", skip_comment(source, at) end
  if c:find("[%a_]") then
    local _, stop = source:find("^[%w_]+", at)
    return "name", stop, source:sub(at, stop)
  end
  if c == '"' or c == "'" then
    local stop = short_string(source, at)
    return "string", stop, source:sub(at + 1, stop - 1)
  end
  local long = c == "[" and long_bracket(source, at)
  if long then return "string", long, source:sub(at, long) end
  if c:find("%d") then
    local _, stop = source:find("^[%w_.]+", at)
    return "number", stop
  end
  return "sign", at, c
end

---@class srvthreds.pattern.Token
---@field kind "name"|"string"|"number"|"sign"
---@field value string?
---@field line integer
---@field column integer in bytes, from 1
---@field length integer

---@param source string
---@return srvthreds.pattern.Token[]
function tokens.scan(source)
  local list, at, line, line_start = {}, 1, 1, 1
  while true do
    local newline = source:find("%S", at)
    local till = newline or #source + 1
    for position in source:sub(at, till - 1):gmatch("()\n") do line, line_start = line + 1, at + position end
    if not newline then return list end
    at = newline
    local kind, stop, value = next_token(source, at)
    if kind ~= "comment" then
      list[#list + 1] = { kind = kind, value = value, line = line, column = at - line_start + 1,
        length = stop - at + 1 }
    end
    for position in source:sub(at, stop):gmatch("()\n") do line, line_start = line + 1, at + position end
    at = stop + 1
  end
end

local function is_sign(token, sign)
  return token and token.kind == "sign" and token.value == sign
end

-- The key that begins at token i of a table constructor: NAME = or ["text"] =.
local function key_at(list, i)
  local token, after = list[i], list[i + 1]
  if token.kind == "name" and is_sign(after, "=") and not is_sign(list[i + 2], "=") then return token end
  if is_sign(token, "[") and after and after.kind == "string" and is_sign(list[i + 2], "]") then return after end
end

-- What the constructor at token i belongs to: the key it is the value of, the name it is an argument of, or, behind a
-- call, "directives".
local function owner_of(list, i)
  local before = list[i - 1]
  if not before then return nil end
  if before.kind == "name" then return before.value end
  if is_sign(before, "=") then
    local key = list[i - 2]
    if is_sign(key, "]") then key = list[i - 3] end
    return key and key.value
  end
  if is_sign(before, "}") or is_sign(before, ")") then return "directives" end
end

local opens, closes = { ["{"] = true, ["("] = true, ["["] = true }, { ["}"] = true, [")"] = true, ["]"] = true }
local block_opens = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local block_closes = { ["end"] = true, ["until"] = true }

---Reads the table constructors of a source: each key with the constructor that holds it.
---@param source string
function tokens.read(source)
  local list = tokens.scan(source)
  local tables, stack = {}, {}
  for i, token in ipairs(list) do
    local top = stack[#stack]
    if top and top.keys then
      local before = list[i - 1]
      if is_sign(before, "{") or is_sign(before, ",") or is_sign(before, ";") then
        local key = key_at(list, i)
        if key and not top.keys[key.value] then top.keys[key.value] = key end
      end
    end
    if token.kind == "sign" and opens[token.value] then
      local entry = { line = token.line }
      if token.value == "{" then entry.keys, entry.owner = {}, owner_of(list, i) end
      stack[#stack + 1] = entry
      if entry.keys then tables[#tables + 1] = entry end
    elseif token.kind == "name" and block_opens[token.value] then
      stack[#stack + 1] = {}
    elseif (token.kind == "sign" and closes[token.value]) or (token.kind == "name" and block_closes[token.value]) then
      stack[#stack] = nil
    end
  end
  return { tokens = list, tables = tables }
end

---The position of `key` in the first table constructor at or behind `line` that has it itself (not in a nested one).
---@param under string? the constructor's owner, if one there has it
---@return srvthreds.pattern.Token?
function tokens.key(read, key, line, under)
  local found
  for _, entry in ipairs(read.tables) do
    if entry.line >= line and entry.keys[key] then
      if not under or entry.owner == under then return entry.keys[key] end
      found = found or entry.keys[key]
    end
  end
  return found
end

---The position of a string or name `word`, at or behind `line`.
---@return srvthreds.pattern.Token?
function tokens.word(read, word, line)
  for _, token in ipairs(read.tokens) do
    if token.line >= line and token.value == word and token.kind ~= "sign" then return token end
  end
end

return tokens
