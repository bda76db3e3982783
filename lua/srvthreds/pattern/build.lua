-- SPDX-License-Identifier: MIT
-- From what a file wrote (nodes.lua) to the model's form, with every check.
local conditions = require "srvthreds.pattern.conditions"
local config_values = require "srvthreds.config_values"
local directives = require "srvthreds.pattern.directives"
local flow = require "srvthreds.pattern.flow"
local names = require "srvthreds.pattern.names"
local regex = require "core.regex"
local shape = require "srvthreds.pattern.shape"
local values = require "srvthreds.pattern.values"
local show = require "srvthreds.pattern.report".show

local build = {}

local day = 86400000
local default_limits = { cpu = 200, wall = 2000, memory = 32 * 1048576 }

local function limit_text(key, most)
  local type = key == "memory" and "size" or "duration"
  return ('"%s"'):format((config_values.show({ type = type }, most):gsub("iB$", "B")))
end

local function limits(ctx, value, place, what)
  if type(value) ~= "table" or ctx.notes[value] then
    return values.wrong(ctx, value, place, what, '{ cpu = "200ms", wall = "2s", memory = "32MB" }')
  end
  local read = values.fields(ctx, value, { cpu = values.time_limit, wall = values.time_limit, memory = values.size }, place,
    { what = "limits", prefix = "limits." })
  for _, key in ipairs { "cpu", "wall", "memory" } do
    local most = ctx.maxima and ctx.maxima[key]
    if most and read[key] and read[key] > most then
      ctx.report:add("limit_too_high", { file = place.file, line = place.line, key = key, under = "limits" }, {
        message = ("limits.%s is more than this system gives to a pattern"):format(key), found = show(value[key]),
        expected = "at most " .. limit_text(key, most), hint = ("whoever runs the system sets scripts.%s_max"):format(key) })
    end
  end
  return read
end

local pattern_schema = {
  id = values.text, description = values.text, instance_interval = values.duration, max_instances = values.count,
  broadcast_allowed = values.boolean, echo_responses = values.boolean, active = values.boolean,
  finished_keep = values.duration, limits = limits, meta = values.object, on_upgrade = values.fn,
}

-- Sources: ids, $groups and /regexes/.
local function sources(ctx, value, place, what)
  local list, bad = values.texts(ctx, value, place, what), false
  for _, source in ipairs(list or {}) do
    if source:sub(1, 1) == "/" then
      local text = source:match("^/(.+)/$")
      local ok, err = false, "a regular expression stands between two slashes: /sensor.*/"
      if text then ok, err = pcall(regex.compile, text, { caseless = true }) end
      if not ok then
        ctx.report:add("bad_regex", place, { message = ("%s: the regular expression can't be read"):format(what),
          found = show(source), hint = type(err) == "table" and err.message or tostring(err) })
        bad = true
      end
    end
  end
  return not bad and list or nil
end

local function expiry(ctx, value, place, what)
  if type(value) ~= "table" or ctx.notes[value] then
    return values.wrong(ctx, value, place, what, '{ after = "5m", transition = "NAME" }')
  end
  local schema = {
    after = values.time_limit,
    transition = function(c, v, at) return directives.transition(c, v, at, "expiry.transition") end,
  }
  local read, clean = values.fields(ctx, value, schema, place, { what = "expiry", prefix = "expiry." })
  if value.after == nil then
    ctx.report:add("bad_duration", place, { message = "expiry has no `after`", expected = 'after = "5m"' })
    return nil
  end
  if not clean then return nil end
  local t = read.transition or { name = "$next", input = "default", place = place }
  if t.input == "forward" then
    ctx.report:add("expiry_forward", { file = place.file, line = place.line, key = "input", under = "transition" }, {
      message = 'expiry with input = "forward": there is no event to forward',
      expected = 'input = "default", or input = "local" with local_name' })
  end
  return { after = read.after, transition = t }
end

local reaction_schema = {
  allowed_sources = sources, allowed_roles = values.texts, allow_unbound_events = values.boolean, expiry = expiry,
}

local directive_words = { on_true = true, transform = true, publish = true, transition = true, spawn = true }
local where_words = { type = true, source = true, re = true, when = true, condition = true }

local function reaction_hint(key)
  if directive_words[key] then
    return ("`%s` is a directive: it stands in the table behind the condition"):format(key)
  end
  if where_words[key] then return "a condition is written p.where { type = \"…\" } or p.filter(function)" end
end

local function report_entries(ctx, entries, place, name)
  local second = entries[2]
  local hint = "for one event of several kinds use p.any { … }, for several events p.all { … }"
  if not second.note then
    hint = "a table behind a comma is an entry of its own; the directives of a condition follow it without a comma"
  end
  hint = hint .. "\n(and a comma forgotten between two conditions makes the next table the directives of the first)"
  ctx.report:add("many_conditions", { file = second.note and second.note.file or place.file,
    line = second.note and second.note.line or place.line }, {
    message = ("%s has %d entries where one condition belongs"):format(name, #entries),
    found = show(second.value, second.note) .. " as the second", expected = "exactly one condition", hint = hint })
end

local function read_condition(ctx, body, place, name)
  local entries, positions = {}, {}
  for key in next, body do
    if math.type(key) == "integer" then positions[#positions + 1] = key end
  end
  table.sort(positions)
  for _, key in ipairs(positions) do entries[#entries + 1] = { value = body[key], note = ctx.notes[body[key]] } end
  if #entries > 1 then report_entries(ctx, entries, place, name) end
  local first = entries[1]
  if first and first.note and first.note.kind == "unknown" then return nil end
  if not first and body.condition ~= nil then return nil end
  if not first or not conditions.is(first.note) then
    ctx.report:add("no_condition", place, { message = name .. " has no condition",
      found = first and show(first.value, first.note) or nil,
      expected = "p.where{…}, p.filter(function), p.all{…} or p.any{…}",
      hint = first and type(first.value) == "function" and "a function becomes a condition by p.filter(function)"
        or nil })
    return nil
  end
  return conditions.read(ctx, first.note, "", 1, false)
end

local function reaction_name(ctx, note, index, pattern_name)
  local name, place = note.name, { file = note.file, line = note.line }
  if name == nil then return ("%s_%d"):format(pattern_name, index - 1) end
  if type(name) == "string" and name:find("%S") and name:sub(1, 1) ~= "$" then return name end
  local built_in = type(name) == "string" and name:sub(1, 1) == "$"
  ctx.report:add("no_name", { file = place.file, line = place.line, word = built_in and name or nil }, {
    message = "a reaction's name can't be used", found = show(name, ctx.notes[name]),
    expected = built_in and "a name that doesn't begin with $" or "a text that isn't empty" })
  return ("%s_%d"):format(pattern_name, index - 1)
end

local function read_reaction(ctx, note, index, pattern_name)
  local name = reaction_name(ctx, note, index, pattern_name)
  local place = { file = note.file, line = note.line }
  local reaction = { name = name, index = index, line = note.line, file = note.file, allow_unbound_events = false }
  local shown = ('the reaction "%s"'):format(name)
  if note.more then
    ctx.report:add("directives_twice", place, { message = shown .. " is followed by two tables",
      hint = "a comma is missing between two reactions" })
  end
  if type(note.body) ~= "table" or ctx.notes[note.body] then
    ctx.report:add("no_body", place, { message = shown .. " has no table",
      found = show(note.body, ctx.notes[note.body]),
      expected = 'p.reaction "name" { … }' })
    reaction.unsure = true
    return reaction
  end
  local read, clean = values.fields(ctx, note.body, reaction_schema, place,
    { what = "a reaction", positions = true, hint = reaction_hint })
  reaction.unsure = not clean
  for key, value in pairs(read) do reaction[key] = value end
  reaction.condition = read_condition(ctx, note.body, place, shown)
  return reaction
end

-- Entries of the pattern's table that are no reactions.
local function report_stray(ctx, value, position, note, place)
  if note and note.kind == "unknown" then return end
  local hint
  if conditions.is(note) then
    hint = "a condition stands in a reaction: p.reaction \"name\" { p." .. note.word .. "… }"
  end
  if type(value) == "table" and not note then hint = 'a reaction is written p.reaction "name" { … }' end
  ctx.report:add("wrong_type", { file = note and note.file or place.file, line = note and note.line or place.line }, {
    message = ("entry %d of the pattern is no reaction"):format(position), found = show(value, note),
    expected = 'p.reaction "name" { … }',
    hint = hint })
end

local function add_reaction(ctx, pattern, note)
  local reaction = read_reaction(ctx, note, #pattern.reactions + 1, pattern.name)
  local earlier = pattern.by_name[reaction.name]
  if earlier then
    ctx.report:add("duplicate_reaction", { file = note.file, line = note.line, word = reaction.name }, {
      message = ('two reactions are named "%s"'):format(reaction.name),
      found = ("the first one is in line %s"):format(pattern.reactions[earlier].line or "?"),
      expected = "a name that is there once in the pattern" })
    pattern.unsure = true
  end
  pattern.reactions[reaction.index] = reaction
  pattern.by_name[reaction.name] = earlier or reaction.index
end

local function read_reactions(ctx, pattern, body, place)
  local positions = {}
  for key in next, body do
    if math.type(key) == "integer" then positions[#positions + 1] = key end
  end
  table.sort(positions)
  for _, key in ipairs(positions) do
    local note = ctx.notes[body[key]]
    if note and note.kind == "reaction" then
      add_reaction(ctx, pattern, note)
    else
      pattern.unsure = true
      report_stray(ctx, body[key], key, note, place)
    end
  end
  if #positions == 0 and body.reactions == nil then
    ctx.report:add("no_reactions", place, { message = "the pattern has no reactions",
      expected = 'at least one p.reaction "name" { … }' })
  end
end

local function pattern_hint(key)
  if reaction_schema[key] then return ("`%s` belongs into a reaction"):format(key) end
  if directive_words[key] then return ("`%s` is a directive: it stands in the table behind a condition"):format(key) end
  if key == "name" then return 'the name stands before the table: p.pattern "Name" { … }' end
  if key == "reactions" then return "the reactions stand in the table itself, without a name" end
end

local function pattern_name(ctx, note, place)
  if type(note.name) == "string" and note.name:find("%S") then return note.name end
  ctx.report:add("no_name", place, { message = "the pattern has no name",
    found = note.name ~= nil and show(note.name, ctx.notes[note.name]) or nil, expected = 'p.pattern "Name" { … }' })
  return "?"
end

---Reads the node that a file returned. The report says whether the result may be used.
---@param ctx srvthreds.pattern.Context
---@param note table
---@return table? pattern
function build.pattern(ctx, note)
  local place = { file = note.file, line = note.line, word = "pattern" }
  local name = pattern_name(ctx, note, place)
  if type(note.body) ~= "table" or ctx.notes[note.body] then
    ctx.report:add("no_body", place, { message = "the pattern has no table",
      found = show(note.body, ctx.notes[note.body]), expected = 'p.pattern "Name" { … }' })
    return nil
  end
  if note.more then
    ctx.report:add("directives_twice", place, { message = "the pattern is followed by two tables" })
  end
  local pattern = {
    name = name, id = (name:lower():gsub(" ", "_")), file = ctx.report.file, description = nil, instance_interval = 0,
    max_instances = 0, broadcast_allowed = false, echo_responses = false, active = true, finished_keep = day,
    limits = {}, meta = {}, reactions = {}, by_name = {},
  }
  local read = values.fields(ctx, note.body, pattern_schema, place,
    { what = "a pattern", positions = true, hint = pattern_hint })
  for key, value in pairs(read) do pattern[key] = value end
  for key, value in pairs(default_limits) do
    pattern.limits[key] = pattern.limits[key] or math.min(value, ctx.maxima and ctx.maxima[key] or value)
  end
  read_reactions(ctx, pattern, note.body, place)
  if not pattern.unsure then flow.check(ctx, pattern) end
  return pattern
end

local function finish_condition(condition)
  for _, key in ipairs { "transition", "publish", "spawn" } do
    if condition[key] then condition[key].place = nil end
  end
  condition.broken, condition.file, condition.word = nil, nil, nil
  for _, operand in ipairs(condition.operands or {}) do finish_condition(operand) end
end

---Takes out what only the checks needed.
function build.finish(pattern)
  for _, reaction in ipairs(pattern.reactions) do
    reaction.shape = shape.of(reaction.condition)
    reaction.unsure = nil
    if reaction.file == pattern.file then reaction.file = nil end
    if reaction.expiry then reaction.expiry.transition.place = nil end
    finish_condition(reaction.condition)
  end
  return pattern
end

build.known_keys = names.sorted(pattern_schema)

return build
