-- SPDX-License-Identifier: MIT
-- Trusted code reads tables that a script wrote, unmetered. So what could run the script's code there (a metatable), or
-- never end (a table inside itself, or many times in others), is refused before anything is read.
local json = require "core.json"

local plain = {}

local max_size = 20000 -- values in a pattern, each counted as often as it is reached

-- Has this table a metatable that isn't ours?
local function strange(value)
  return debug.getmetatable(value) ~= nil and not json.is_array(value)
end

local slots = { "body", "directives", "operands", "fields", "value" }

local size_of

-- The sum over what a table or node holds, or nil, note, why.
local function size_inside(value, note, state)
  local size = 1
  local function add(item)
    local more, where, why = size_of(item, note, state)
    if not more then return where, why end
    size = size + more
    if size > max_size then return note, ("more than %d values"):format(max_size) end
  end
  if state.notes[value] then
    for _, slot in ipairs(slots) do
      local where, why = add(note[slot])
      if why then return nil, where, why end
    end
    return size
  end
  for _, item in next, value do
    local where, why = add(item)
    if why then return nil, where, why end
  end
  return size
end

function size_of(value, note, state)
  if type(value) ~= "table" or value == json.null then return 1 end
  if state.sizes[value] then return state.sizes[value] end
  if state.open[value] then return nil, note, "a table inside itself" end
  local own = state.notes[value]
  if not own and strange(value) then return nil, note, "a table with a metatable" end
  state.depth = state.depth + 1
  if state.depth > 150 then return nil, note, "tables nested more than 150 deep" end
  state.open[value] = true
  local size, where, why = size_inside(value, own or note, state)
  state.depth, state.open[value], state.sizes[value] = state.depth - 1, nil, size
  return size, where, why
end

---The node in whose tables something isn't plain, and what; nil when all is.
---@param value any a node
---@param notes table<table, table>
---@return table? note, string? why
function plain.violation(value, notes)
  local _, note, why = size_of(value, notes[value], { notes = notes, sizes = {}, open = {}, depth = 0 })
  return note, why
end

---p.array: the mark goes on a plain table only, never on one whose metatable means something.
function plain.array(t)
  if t ~= nil and (type(t) ~= "table" or strange(t)) then
    error(("p.array needs a plain list, this is a %s")
      :format(type(t) == "table" and "table with a metatable" or type(t)), 2)
  end
  return json.array(t)
end

return plain
