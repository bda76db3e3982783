-- SPDX-License-Identifier: MIT
-- The table `p` that a pattern file sees. Its functions only note what was written and where; whether it makes sense is
-- checked when the file has run, so that one run finds every mistake. Each load has a face and notes of its own.
--
-- A note: { kind = "pattern"|"reaction"|"filter"|"and"|"or"|"op"|"unknown", file, line, … }
--   pattern, reaction   name, body (nil until the table came), more (called again behind the body)
--   filter              word = "where" (fields) or "filter" (fn); directives, more
--   and, or             word = "all"/"any"; operands; directives, more
--   op                  op, value: a matcher of p.where
local json = require "core.json"
local names = require "srvthreds.pattern.names"
local plain = require "srvthreds.pattern.plain"
local script = require "core.script"

local nodes = {}

-- A key as a message names it: no address is shown.
local function word_of(key) return type(key) == "string" and key or "a " .. type(key) end

-- A node is an empty table to the script; what it stands for is in the notes of its load.
local function new_notes()
  local notes = script.weak "k"
  local meta = { __metatable = false }

  function meta.__newindex(node, key)
    local note = notes[node]
    error(("p.%s { … } is finished when it is written: %s can't be set on it; put it into its table")
      :format(note and note.word or "?", word_of(key)), 2)
  end

  local function add(note)
    local node = setmetatable({}, meta)
    notes[node] = note
    return node
  end
  return notes, meta, add
end

-- The line of the script that called one of p's functions; nil when the call was a tail call from elsewhere.
local function caller(files)
  for level = 3, 40 do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    local file = info.source:match("^[@=](.*)") or info.source
    if files[file] then return file, info.currentline end
  end
end

local function copy_with(note, key, value)
  local copy = {}
  for k, v in pairs(note) do copy[k] = v end
  copy[key] = value
  return copy
end

-- What calling a node does: the first table behind a name is its body, the first one behind a condition its directives.
local function called(note, value)
  if value == nil then value = json.null end
  local slot = (note.kind == "pattern" or note.kind == "reaction") and "body" or "directives"
  if note[slot] == nil then return copy_with(note, slot, value) end
  return copy_with(note, "more", true)
end

local function is_list(value)
  return type(value) == "table" and (json.is_array(value) or #value > 0 or next(value) == nil)
end

-- p.one_of("a", "b") and p.one_of { "a", "b" } are the same.
local function several(notes, first, ...)
  if select("#", ...) == 0 and not notes[first] and is_list(first) then return first end
  return { first, ... }
end

local function builders(notes, add, here)
  local build = {}
  local function named(kind)
    return function(name)
      local body
      if type(name) == "table" and not notes[name] then name, body = nil, name end
      return add(here { kind = kind, word = kind, name = name, body = body })
    end
  end
  build.pattern, build.reaction = named "pattern", named "reaction"
  function build.where(fields) return add(here { kind = "filter", word = "where", fields = fields }) end
  function build.filter(fn) return add(here { kind = "filter", word = "filter", fn = fn }) end
  function build.all(operands) return add(here { kind = "and", word = "all", operands = operands }) end
  function build.any(operands) return add(here { kind = "or", word = "any", operands = operands }) end
  return build
end

local function matchers(notes, add, here, build)
  local function op(word, value_of)
    build[word] = function(...)
      local value, count = value_of(...)
      return add(here { kind = "op", word = word, op = word, value = value, count = count })
    end
  end
  local function one(...) return (...), select("#", ...) end
  local function list(...)
    local count = select("#", ...)
    return several(notes, ...), count
  end
  for _, word in ipairs { "at_least", "at_most", "above", "below", "matches", "starts_with", "answer_to" } do
    op(word, one)
  end
  op("one_of", list)
  op("none_of", list)
  op("between", function(...) return { ... }, select("#", ...) end)
  op("present", function(...) return nil, select("#", ...) end)
  op("absent", function(...) return nil, select("#", ...) end)
end

-- What depends on the step that runs. `host` is looked up at each call: the engine may install it after loading.
local function facts(face, host)
  for _, name in ipairs { "now", "id", "reaction_of", "participants", "step", "fail" } do
    face[name] = function(...)
      local fn = host()[name]
      if not fn then
        error(("p.%s() works in a pattern's functions while an event is handled, not while the file is loaded")
          :format(name), 2)
      end
      return fn(...)
    end
  end
end

---@class srvthreds.pattern.Face
---@field face table what `require "srvthreds.pattern"` gives the script: read-only
---@field notes table<table, table> what each node stands for
---@field unknown table[] uses of names that don't exist: { name, nearest, file, line }
---@field known string[] the names that exist
---@field finish fun() loading is over: from now on an unknown name raises

---@param files table<string, any> a set of the files of this load; grows while modules are required
---@param host fun(): table
---@return srvthreds.pattern.Face
function nodes.new(files, host)
  local notes, meta, add = new_notes()
  local unknown, loading = {}, true

  local function here(note)
    note.file, note.line = caller(files)
    return note
  end

  function meta.__call(node, value)
    local note = notes[node]
    if note.kind == "unknown" then return node end
    return add(called(note, value))
  end

  local api = builders(notes, add, here)
  matchers(notes, add, here, api)
  facts(api, host)
  api.array, api.null = plain.array, json.null
  local known = names.sorted(api)

  local function missing(_, name)
    local nearest = names.nearest(name, known)
    if not loading then
      error(("p.%s doesn't exist%s"):format(word_of(name),
        nearest and ("; did you mean p." .. nearest .. "?") or ""), 2)
    end
    local note = here { kind = "unknown", word = word_of(name), name = word_of(name), nearest = nearest }
    unknown[#unknown + 1] = note
    return add(note)
  end

  local face = script.freeze(setmetatable(api, { __index = missing }), "p")
  -- A pattern's functions keep the face; they need no lines any more.
  local function finish()
    loading = false
    for file in pairs(files) do files[file] = nil end
  end
  return { face = face, notes = notes, unknown = unknown, known = known, finish = finish }
end

return nodes
