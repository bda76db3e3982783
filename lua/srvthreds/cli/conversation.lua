-- SPDX-License-Identifier: MIT
-- What a participant at a terminal sees, and which questions wait for an answer. Prints; knows no connection.
local event_words = require "srvthreds.cli.event_words"
local json = require "core.json"
local names = require "srvthreds.pattern.names"
local output = require "srvthreds.cli.output"
local questions = require "srvthreds.cli.questions"

---@class srvthreds.cli.Conversation
---@field asked table[] open questions, oldest first: { number, event, question, group }
local Conversation = {}
Conversation.__index = Conversation

local conversation = {}

---@param options table { send = fn(event), raw = boolean: events as JSON lines }
---@return srvthreds.cli.Conversation
function conversation.new(options)
  return setmetatable({ options = options, asked = {}, count = 0 }, Conversation)
end

local function text_of(value)
  return type(value) == "string" and output.plain(value) or value ~= nil and value ~= json.null and json.encode(value) or nil
end

local function place(location)
  if json.kind(location) ~= "object" then return json.encode(location) end
  return ("%s at %s, %s"):format(text_of(location.name) or "?", text_of(location.latitude), text_of(location.longitude))
end

local function print_part(part)
  local map = json.kind(part.map) == "object" and part.map.locations
  if json.kind(map) == "array" then
    for _, location in ipairs(map) do output.line("  map: " .. place(location)) end
    return
  end
  for _, kind in ipairs { "video", "image" } do
    if json.kind(part[kind]) == "object" and part[kind].uri then
      output.line(("  %s: %s"):format(kind, output.colour("cyan", text_of(part[kind].uri))))
      return
    end
  end
  if part.text then output.line("  " .. text_of(json.kind(part.text) == "object" and part.text.value or part.text)) end
end

local FROM = { messageSource = true, re = true }
local BROADCASTS = { broadcastValues = FROM, broadcastMessage = FROM }

local function print_values(data, shown)
  if #shown > 0 or json.kind(data.content) ~= "object" then return end
  local values = data.content.values
  if json.kind(values) == "object" then
    local told = BROADCASTS[data.content.valuesType] or {} -- the title says it
    for _, name in ipairs(names.sorted(values)) do
      if not told[name] then output.line(("  %s: %s"):format(output.plain(name), text_of(values[name]) or "null")) end
    end
  elseif data.content.error then
    output.line("  " .. output.colour("red", text_of(data.content.error.message or data.content.error)))
  elseif values ~= nil then
    output.line("  " .. text_of(values))
  elseif type(data.content) == "string" then
    output.line("  " .. text_of(data.content))
  end
end

local function print_head(event, data)
  local source = json.kind(event.source) == "object" and (event.source.name or event.source.id)
  local at = type(event.time) == "number" and os.date("%H:%M:%S", event.time // 1000 | 0) or ""
  output.line("")
  output.line(("%s  %s"):format(output.colour("bold", text_of(data.title) or text_of(event.type) or "an event"),
    output.colour("dim", ("%s %s"):format(at, text_of(source) or ""))))
  if data.description then output.line("  " .. text_of(data.description)) end
  if type(data.content) == "string" then output.line("  " .. text_of(data.content)) end
end

function Conversation:_print_question(entry)
  output.line(("  %s %s"):format(output.colour("yellow", ("#%d"):format(entry.number)),
    output.colour("bold", text_of(entry.question.text))))
  if entry.question.choices then output.line("     " .. output.plain(questions.choices_text(entry.question))) end
end

function Conversation:_ask(event, asked)
  local group = { event = event, values = {}, open = #asked }
  for _, question in ipairs(asked) do
    self.count = self.count + 1
    local entry = { number = self.count, question = question, group = group }
    self.asked[#self.asked + 1] = entry
    if not self.options.raw then self:_print_question(entry) end
  end
end

---An event came.
function Conversation:show(event)
  local data = json.kind(event.data) == "object" and event.data or {}
  local asked, shown = questions.of(event)
  self.last = event
  if self.options.raw then
    output.line(json.encode(event))
  else
    print_head(event, data)
    for _, part in ipairs(shown) do print_part(part) end
    print_values(data, shown)
  end
  self:_ask(event, asked)
end

function Conversation:_find(number)
  if not number then return self.asked[#self.asked], #self.asked end
  for i, entry in ipairs(self.asked) do
    if entry.number == number then return entry, i end
  end
end

---Is anything waiting for an answer?
function Conversation:open()
  return #self.asked > 0
end

---Prints what still waits.
function Conversation:list()
  if #self.asked == 0 then output.say("nothing is asked") end
  for _, entry in ipairs(self.asked) do self:_print_question(entry) end
end

---A person's words as an answer to question `number`, or to the newest.
---@return boolean taken, string? problem
function Conversation:answer(words, number)
  local entry, at = self:_find(number)
  if not entry then return false, number and ("there is no open question #%d"):format(number) or "nothing is asked yet" end
  local value, problem = questions.answer(entry.question, words)
  if value == nil then return false, problem end
  local group = entry.group
  group.values[entry.question.name] = value
  group.open = group.open - 1
  table.remove(self.asked, at)
  if group.open == 0 then
    self.options.send(questions.reply(group.event, group.values, event_words.new_id()))
  end
  return true
end

return conversation
