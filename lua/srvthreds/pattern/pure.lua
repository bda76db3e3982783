-- SPDX-License-Identifier: MIT
-- Patterns are pure (model, §2): what a step does depends on thred, event and step alone, so that it can be run again. A
-- variable of the file that a function of the pattern assigns, or a coroutine or iterator that it goes on with, would
-- carry something from step to step. Both are found when the file has run; at run nothing is paid. A variable's table of
-- plain data becomes read-only then. Not covered: tables with functions or a metatable (modules, classes).
local bytecode = require "srvthreds.pattern.bytecode"
local json = require "core.json"
local script = require "core.script"

local pure = {}

-- The C functions that every script sees; another one is an iterator or a wrapped coroutine. Few patterns keep any.
local function add_functions(known, t)
  for _, v in pairs(t) do
    if type(v) == "function" then known[v] = true end
    local meta = type(v) == "table" and debug.getmetatable(v)
    if meta and type(meta.__index) == "table" then add_functions(known, meta.__index) end
  end
end

local function is_known(state, fn)
  if not state.known then
    state.known = {}
    add_functions(state.known, { script.environment {} })
  end
  return state.known[fn]
end

local function report(state, fn, line, message, hint)
  local info = debug.getinfo(fn, "S")
  state.report:add("kept_state", { file = info.source:sub(2), line = line or info.linedefined }, {
    message = message, expected = "what is to be kept belongs in the thred: thred.NAME = … in on_true", hint = hint })
end

local function check_variable(state, fn, name, value)
  local kind = type(value) == "thread" and "a coroutine" or type(value) == "function"
    and debug.getinfo(value, "S").what == "C" and not is_known(state, value) and "an iterator or a coroutine"
  if not kind then return end
  report(state, fn, nil, ('the variable "%s" holds something that goes on from step to step: %s'):format(name, kind))
end

-- Only values, at every depth?
local function is_data(value, depth)
  if type(value) ~= "table" then return type(value) ~= "function" and type(value) ~= "thread" end
  if depth > 100 or debug.getmetatable(value) and not json.is_array(value) then return false end
  for key, item in next, value do
    if type(key) == "table" or not is_data(item, depth + 1) then return false end
  end
  return true
end

-- Its face from now on: whoever writes to it is told its name.
local function close(state, fn, i, name, value)
  if type(value) ~= "table" or state.notes[value] or not is_data(value, 0) then return end
  debug.setupvalue(fn, i, json.view(value, ('the file\'s table "%s"'):format(name)))
end

local function visit_function(state, fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" or not state.files[info.source:sub(2)] then return end -- ours
  local assigned
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then break end
    assigned = assigned or bytecode.assigned(fn)
    if assigned[i] then
      report(state, fn, assigned[i], ('the variable "%s" of the file is assigned in a function of the pattern'):format(name))
    end
    if name ~= "_ENV" then
      check_variable(state, fn, name, value)
      close(state, fn, i, name, value)
      state.left[#state.left + 1] = value
    end
  end
end

-- Whatever a function of the pattern reaches: through its variables, and tables in them.
local function visit(state, value)
  local kind = type(value)
  if kind ~= "function" and kind ~= "table" or value == json.null or state.seen[value] then return end
  state.seen[value] = true
  if kind == "function" then return visit_function(state, value) end
  local note = state.notes[value]
  for _, item in next, note or value do state.left[#state.left + 1] = item end
end

---Reports what the pattern's functions would keep beside the thred.
---@param state { report: table, notes: table<table, table>, files: table<string, any>, node: table }
function pure.check(state)
  local left = { state.node }
  local walk = { report = state.report, notes = state.notes, files = state.files, seen = {}, left = left }
  while #left > 0 do visit(walk, table.remove(left)) end
end

return pure
