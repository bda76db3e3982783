-- SPDX-License-Identifier: MIT
-- What an event asks its reader: the inputs of data.advice.template, and answers in a person's words.
--
--   advice = { eventType, template = { interactions = { { interaction = { content = { part, … } } }, … } } }
--   part = { input = { type, name, display, set = { { display, value }, … }, multiple } } | { map } | { video } | { text } …
--   type = "boolean", "nominal", "ordinal" (of `set`), "numeric", "text"
local json = require "core.json"

local questions = {}

local yes_no = { { display = "Yes", value = true }, { display = "No", value = false } }
local said_yes = { yes = true, y = true, ["true"] = true, ok = true, on = true }
local said_no = { no = true, n = true, ["false"] = true, off = true }

local function is(value, kind)
  return json.kind(value) == kind
end

local function parts_of(advice)
  local template = is(advice, "object") and advice.template
  local found = {}
  for _, item in ipairs(is(template, "object") and is(template.interactions, "array") and template.interactions or {}) do
    local content = is(item, "object") and is(item.interaction, "object") and item.interaction.content
    for _, part in ipairs(is(content, "array") and content or {}) do
      if is(part, "object") then found[#found + 1] = part end
    end
  end
  return found
end

local function in_group(part, into)
  if is(part.group, "array") then
    for _, one in ipairs(part.group) do
      if is(one, "object") then in_group(one, into) end
    end
  elseif is(part.group, "object") and is(part.group.items, "array") then
    for _, one in ipairs(part.group.items) do in_group(one, into) end
  else
    into[#into + 1] = part
  end
end

local function choices_of(input)
  if is(input.set, "array") and #input.set > 0 then
    local list = {}
    for i, item in ipairs(input.set) do
      list[i] = is(item, "object") and { display = item.display or tostring(item.value), value = item.value }
        or { display = tostring(item), value = item }
    end
    return list
  end
  return input.type == "boolean" and yes_no or nil
end

---What can be asked and what is only shown.
---@param event table
---@return table[] asked { name, text, type, choices?, multiple }, table[] shown parts
function questions.of(event)
  local asked, shown, flat = {}, {}, {}
  local data = is(event.data, "object") and event.data or {}
  for _, part in ipairs(parts_of(data.advice)) do in_group(part, flat) end
  for _, part in ipairs(flat) do
    local input = part.input
    if is(input, "object") and is(input.name, "string") then
      asked[#asked + 1] = { name = input.name, text = is(input.display, "string") and input.display or input.name,
        type = input.type, choices = choices_of(input), multiple = input.multiple == true }
    else
      shown[#shown + 1] = part
    end
  end
  return asked, shown
end

local function choose(question, word)
  word = word:lower():match("^%s*(.-)%s*$")
  local number = math.tointeger(tonumber(word))
  if number and question.choices[number] then return question.choices[number].value, true end
  for _, choice in ipairs(question.choices) do
    if tostring(choice.display):lower() == word or tostring(choice.value):lower() == word then return choice.value, true end
  end
  local truth = said_yes[word] and true or not said_no[word] and nil
  for _, choice in ipairs(question.choices) do
    if truth ~= nil and choice.value == truth then return choice.value, true end
  end
end

function questions.choices_text(question)
  local out = {}
  for i, choice in ipairs(question.choices) do out[i] = ("%d %s"):format(i, tostring(choice.display)) end
  return table.concat(out, "   ")
end

---A person's words as the value that is asked for.
---@return any value, string? problem what would be understood
function questions.answer(question, words)
  if question.choices and question.multiple then
    local list = json.array {}
    for word in words:gmatch("[^,]+") do
      local value, known = choose(question, word)
      if not known then return nil, "answer with one or more of, with commas: " .. questions.choices_text(question) end
      list[#list + 1] = value
    end
    return list
  elseif question.choices then
    local value, known = choose(question, words)
    if not known then return nil, "answer with one of: " .. questions.choices_text(question) end
    return value
  elseif question.type == "numeric" then
    local number = tonumber(words)
    if not number or number ~= number or math.abs(number) == math.huge then return nil, "answer with a number" end
    return number
  end
  return words
end

---The event that answers: the words of all questions of one event.
---@param event table that asked
---@param values table name -> value
---@param id string
function questions.reply(event, values, id)
  local advice = is(event.data, "object") and event.data.advice
  local kind = is(advice, "object") and is(advice.eventType, "string") and advice.eventType or "org.wt.client.tell"
  return { id = id, type = kind, thredId = event.thredId, re = event.id, data = { content = { values = values } } }
end

return questions
