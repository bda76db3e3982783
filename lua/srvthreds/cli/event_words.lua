-- SPDX-License-Identifier: MIT
-- An event as people write it: JSON, @FILE, - (stdin), or pairs such as type=org.wt.echo values.echoTo=participant0.
local json = require "core.json"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local terminal = require "core.terminal"

local event_words = {}

local hint = "for example: srvthreds send type=org.wt.echo values.echoTo=participant0 values.echoTitle=Hello\n"
  .. "or as JSON:  srvthreds send '{\"type\": \"org.wt.echo\", \"data\": {}}'"

---A new id, as sources make them: random, in the form of a UUID.
---@return string
function event_words.new_id()
  local hex = runtime.random_bytes(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("%s-%s-4%s-a%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16), hex:sub(18, 20), hex:sub(21, 32))
end

local function bad(message)
  problem.raise("bad_event", message, { hint = hint })
end

local function from_json(text, where)
  local ok, event = pcall(json.decode, text)
  if not ok then bad(("%s: %s"):format(where, type(event) == "table" and event.message or tostring(event))) end
  if json.kind(event) ~= "object" then bad(("%s: an event is a JSON object, this is a JSON %s"):format(where, json.kind(event))) end
  return event
end

local function read_stdin()
  local lines = {}
  for line in terminal.read_line do lines[#lines + 1] = line end
  return table.concat(lines, "\n")
end

-- true, 5, null, "5", [..] and {..} are JSON; everything else is the text itself.
local function value_of(text)
  local first = text:sub(1, 1)
  local ok, value = pcall(json.decode, text)
  if ok then return value end
  if first == "{" or first == "[" or first == '"' then bad(("%s: %s"):format(text, value.message or tostring(value))) end
  return text
end

local function put(event, path, value, word)
  local at = event
  local parent, last = path:match("^(.*)%.([^.]+)$")
  for name in (parent or ""):gmatch("[^.]+") do
    if at[name] == nil then at[name] = {} end
    at = at[name]
    if type(at) ~= "table" then bad(("%s: %s is a value already"):format(word, name)) end
  end
  at[last or path] = value
end

local function from_pairs(words)
  local event = {}
  for _, word in ipairs(words) do
    local path, text = word:match("^([%w_][%w_.%-]*)=(.*)$")
    if not path then bad(("%q is neither JSON nor NAME=VALUE"):format(word)) end
    put(event, (path:gsub("^values%.", "data.content.values.")), value_of(text), word)
  end
  return event
end

---@param words string[]
---@return table event plain and mutable; it has a type
function event_words.read(words)
  local event
  local first = words[1] or ""
  if first == "-" then
    event = from_json(read_stdin(), "stdin")
  elseif first:sub(1, 1) == "@" then
    local text, e = runtime.read_file(first:sub(2))
    if not text then bad(e) end
    event = from_json(text, first:sub(2))
  elseif first:find("^%s*[{%[\"]") then
    event = from_json(table.concat(words, " "), "the event")
  else
    event = from_pairs(words)
  end
  if type(event.type) ~= "string" or event.type == "" then bad("an event needs a type: type=NAME, or \"type\": \"NAME\" in JSON") end
  return event
end

return event_words
