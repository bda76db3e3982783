-- SPDX-License-Identifier: MIT
-- Reads a tree of conditions into the model's form.
local directives = require "srvthreds.pattern.directives"
local fields = require "srvthreds.pattern.fields"
local names = require "srvthreds.pattern.names"
local values = require "srvthreds.pattern.values"
local show = require "srvthreds.pattern.report".show

local conditions = {}

local kinds = { filter = true, ["and"] = true, ["or"] = true }
local max_depth = 50

local function read_filter(ctx, note, into)
  if note.word == "where" then return fields.read(ctx, note, into) end
  into.test = note.fn
  if type(note.fn) == "function" then return end
  ctx.report:add("filter_function", { file = note.file, line = note.line }, { message = "p.filter needs a function",
    found = show(note.fn, ctx.notes[note.fn]), expected = "p.filter(function(event, thred) return … end)",
    hint = type(note.fn) == "table" and "fields with values are declared with p.where { … }" or nil })
end

local function report_operand(ctx, note, value, position)
  local other = ctx.notes[value]
  if other and other.kind == "unknown" then return end
  local hint
  if type(value) == "function" then hint = "a function becomes a condition by p.filter(function)"
  elseif type(value) == "table" and not other then
    hint = "directives follow their condition without a comma; fields with values are p.where { … }"
  end
  ctx.report:add("not_a_condition", { file = note.file, line = note.line }, {
    message = ("operand %d of p.%s is no condition"):format(position, note.word), found = show(value, other),
    expected = "p.where{…}, p.filter(function), p.all{…} or p.any{…}", hint = hint })
end

local function read_names_of_list(ctx, note)
  for _, key in ipairs(names.sorted(note.operands)) do
    ctx.report:add("unknown_key", { file = note.file, line = note.line, key = key, under = note.word }, {
      message = ("unknown key `%s` in p.%s"):format(key, note.word), expected = "a list of conditions",
      hint = ("directives follow in a table of their own: p.%s { … } { %s = … }"):format(note.word, key) })
  end
end

local function read_list(ctx, note, into, depth, under_all)
  local list = note.operands
  into.operands = {}
  if type(list) ~= "table" or ctx.notes[list] then
    return values.wrong(ctx, list, { file = note.file, line = note.line }, "what p." .. note.word .. " takes",
      "a list of conditions in braces")
  end
  read_names_of_list(ctx, note)
  local count = 0
  for key in next, list do
    if math.type(key) == "integer" then count = math.max(count, key) end
  end
  if count == 0 then
    ctx.report:add("no_operands", { file = note.file, line = note.line }, {
      message = ("p.%s has no operands"):format(note.word), expected = "at least one condition" })
  end
  for position = 1, math.min(count, 1000) do
    local value = list[position]
    local operand = ctx.notes[value]
    if operand and kinds[operand.kind] then
      local path = into.path == "" and tostring(position) or into.path .. "." .. position
      into.operands[#into.operands + 1] = conditions.read(ctx, operand, path, depth + 1,
        under_all or into.kind == "and" and "all")
    else
      report_operand(ctx, note, value, position)
    end
  end
end

-- Under p.all only on_true is allowed.
local function check_under_all(ctx, note, into)
  for _, key in ipairs { "publish", "spawn", "transform", "transition" } do
    if into[key] or into.broken[key] then
      ctx.report:add("operand_directive", { file = note.file, line = note.line, key = key, under = "directives" }, {
        message = ("`%s` on an operand of p.all"):format(key), expected = "on_true, or no directives",
        hint = "put it into the table behind p.all{…}: it happens when everything has come" })
    end
  end
end

---@param note table what the script wrote
---@param path string the position under the reaction's condition
---@return table condition in the model's form (with `broken` and places for the later checks)
function conditions.read(ctx, note, path, depth, under_all)
  local into = { kind = note.kind, path = path, line = note.line, file = note.file, word = note.word }
  if depth > max_depth then
    ctx.report:add("not_a_condition", { file = note.file, line = note.line }, {
      message = ("conditions are nested more than %d deep"):format(max_depth) })
    into.broken = {}
    return into
  end
  directives.read(ctx, note, into)
  if under_all then check_under_all(ctx, note, into) end
  if note.kind == "filter" then read_filter(ctx, note, into) else read_list(ctx, note, into, depth, under_all) end
  return into
end

---Is this note a condition?
function conditions.is(note)
  return note ~= nil and kinds[note.kind] == true
end

return conditions
