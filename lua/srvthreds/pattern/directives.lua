-- SPDX-License-Identifier: MIT
-- Reads the table of directives behind a condition into the model's form.
local names = require "srvthreds.pattern.names"
local template = require "srvthreds.pattern.template"
local values = require "srvthreds.pattern.values"
local show = require "srvthreds.pattern.report".show

local directives = {}

local inputs = values.word { "default", "forward", "local" }

-- input and local_name go together; `into` is a transition or a spawn.
local function check_local(ctx, into, place, what)
  if into.input == "local" and not into.local_name then
    ctx.report:add("local_name", place, { message = ('%s with input = "local" needs local_name'):format(what),
      expected = 'local_name = "NAME of the local that holds the event"' })
  elseif into.local_name and into.input ~= "local" then
    ctx.report:add("local_name", { file = place.file, line = place.line, key = "local_name", under = place.key }, {
      message = ('%s has local_name without input = "local"'):format(what),
      hint = 'add input = "local", or leave it out' })
  end
end

local transition_schema = { name = values.text, input = inputs, local_name = values.text }

---A transition: a name, or { name=, input=, local_name= }. Whether the name exists is checked when all are known.
function directives.transition(ctx, value, place, what)
  what = what or "transition"
  if type(value) == "string" then
    local name = values.text(ctx, value, place, what)
    return name and { name = name, input = "default", place = place } or nil
  end
  if type(value) ~= "table" or ctx.notes[value] then
    return values.wrong(ctx, value, place, what, "a reaction's name or { name=, input=, local_name= }")
  end
  local read = values.fields(ctx, value, transition_schema, place, { what = what, prefix = what .. "." })
  local t = { name = read.name or "$next", input = read.input or "default", local_name = read.local_name,
    place = place }
  if value.name ~= nil and not read.name then return nil end
  if value.input == nil or read.input then check_local(ctx, t, place, what) end
  return t
end

local function addressee(ctx, value, place, what, depth)
  if type(value) == "function" then return true end
  if type(value) == "string" then return values.text(ctx, value, place, what) ~= nil end
  if depth > 20 or not values.is_list(value) or ctx.notes[value] then
    values.wrong(ctx, value, place, what, "an address, a list of addresses or a function(event, thred)")
    return false
  end
  if #value == 0 then
    ctx.report:add("no_addressee", place, { message = what .. " is empty", expected = "at least one address" })
    return false
  end
  local clean = true
  for i, item in ipairs(value) do
    clean = addressee(ctx, item, place, ("%s[%d]"):format(what, i), depth + 1) and clean
  end
  return clean
end

-- A flat copy of a list, and whether a function is in it.
local function flatten(list, out)
  local dynamic = false
  for _, item in ipairs(list) do
    if type(item) == "table" then
      dynamic = flatten(item, out) or dynamic
    else
      out[#out + 1] = item
      dynamic = dynamic or type(item) == "function"
    end
  end
  return dynamic
end

-- The model knows a text, a list of texts or one function: functions inside a list become one around it.
local function to_of(ctx, value, place, what)
  if not addressee(ctx, value, place, what, 0) then return nil end
  if type(value) ~= "table" then return value end
  local flat = {}
  if not flatten(value, flat) then return flat end
  return function(event, thred)
    local list = {}
    for _, item in ipairs(flat) do
      if type(item) == "function" then item = item(event, thred) end
      if item ~= nil then list[#list + 1] = item end
    end
    return list
  end
end

local publish_schema = { to = to_of, name = values.text, on_publish = values.fn }

---publish: an addressee, or { to=, name=, on_publish= }.
local function publish(ctx, value, place)
  local bare = type(value) ~= "table" or (next(value) ~= nil and values.is_list(value))
  if bare or ctx.notes[value] then
    local to = to_of(ctx, value, place, "publish")
    return to and { to = to, place = place } or nil
  end
  local read, clean = values.fields(ctx, value, publish_schema, place, { what = "publish", prefix = "publish.",
    hint = function(key) return type(key) == "number" and "addressees beside a name stand in to = { … }" or nil end })
  if value.to == nil and not clean then return nil end
  if value.to == nil then
    ctx.report:add("no_addressee", place, { message = "publish has no `to`",
      expected = 'to = a participant, "$group", "$thred", "$all", a service, a list of these, or a function' })
    return nil
  end
  if not clean then return nil end
  return { to = read.to, name = read.name, on_publish = read.on_publish, place = place }
end

local spawn_schema = {
  names = values.texts, input = inputs, type = values.word { "child", "sibling" }, local_name = values.text,
  context = values.boolean,
}

---spawn: a pattern's id, or { names = one or a list, input=, type=, local_name=, context= }; the names may stand bare.
local function spawn(ctx, value, place)
  if type(value) == "string" then value = { names = value } end
  if type(value) ~= "table" or ctx.notes[value] then
    return values.wrong(ctx, value, place, "spawn",
      "a pattern's id or { names=, input=, type=, local_name=, context= }")
  end
  local listed = {}
  for i, item in ipairs(value) do listed[i] = item end
  local read, clean = values.fields(ctx, value, spawn_schema, place,
    { what = "spawn", prefix = "spawn.", positions = #listed > 0 and value.names == nil })
  local list = read.names
  if value.names == nil and (clean or #listed > 0) then
    list = values.texts(ctx, #listed > 0 and listed or nil, place, "spawn.names")
  end
  if not list or not clean then return nil end
  local s = { names = list, type = read.type or "child", input = read.input or "default", local_name = read.local_name,
    context = read.context or false, place = place }
  check_local(ctx, s, place, "spawn")
  return s
end

local schema = {
  on_true = values.fn,
  transform = template.check,
  publish = publish,
  transition = directives.transition,
  spawn = spawn,
}

local reaction_words = { expiry = true, allowed_sources = true, allowed_roles = true, allow_unbound_events = true }
local where_words = { type = true, source = true, re = true, when = true }

local function hint_for(word)
  return function(key, nearest)
    if type(key) == "number" then
      return "a condition is followed by one table of directives, written { name = value }"
    end
    if reaction_words[key] then return ("`%s` belongs into the reaction, beside the condition"):format(key) end
    if where_words[key] or key:find("^values%.") or key:find("^data%.") then
      return ("this table is the directives of the p.%s before it; is a comma missing between two conditions?")
        :format(word)
    end
    return not nearest and "the table behind a condition is its directives" or nil
  end
end

---Reads the directives of the condition `note` into `into`; `into.broken` names those that have mistakes.
function directives.read(ctx, note, into)
  local value = note.directives
  local place = { file = note.file, line = note.line }
  into.broken = {}
  if note.more then
    ctx.report:add("directives_twice", place, { message = ("p.%s is followed by two tables"):format(note.word),
      hint = "put all directives into one table, or the missing comma between two conditions" })
  end
  if value == nil then return end
  local other = ctx.notes[value]
  if other or type(value) ~= "table" then
    ctx.report:add("wrong_type", place, {
      message = ("what follows p.%s must be a table of directives"):format(note.word),
      found = show(value, other), expected = "{ " .. names.join(names.sorted(schema), "and") .. " }",
      hint = other and "is a comma missing between two conditions?" or nil })
    return
  end
  local read = values.fields(ctx, value, schema, place, { what = ("the directives of p.%s"):format(note.word),
    under = "directives", hint = hint_for(note.word) })
  for key, directive in pairs(read) do into[key] = directive end
  for key in next, value do
    if type(key) == "string" and read[key] == nil then into.broken[key] = true end
  end
end

return directives
