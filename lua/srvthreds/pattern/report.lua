-- SPDX-License-Identifier: MIT
-- The list of mistakes of one load, and how one is printed.
local codes = require "srvthreds.pattern.codes"
local names = require "srvthreds.pattern.names"
local tokens = require "srvthreds.pattern.tokens"

---@class srvthreds.pattern.Problem
---@field code string "SRV-P006"
---@field name string the code's name in codes.lua
---@field severity "error"|"warning"
---@field file string
---@field line integer?
---@field column integer?
---@field length integer? of what is marked, in bytes
---@field source string? the line's text
---@field message string
---@field found string?
---@field expected string?
---@field nearest string?
---@field hint string? what to do

---@class srvthreds.pattern.Report
---@field problems srvthreds.pattern.Problem[]
---@field sources table<string, string>
local Report = {}
Report.__index = Report

local report = {}

---@param sources table<string, string> file -> text, for the marks; may grow
---@param file string the pattern's file
---@return srvthreds.pattern.Report
function report.new(sources, file)
  return setmetatable({ problems = {}, sources = sources, file = file, read = {}, seen = {} }, Report)
end

function Report:_read(file)
  if not self.read[file] then self.read[file] = tokens.read(self.sources[file] or "") end
  return self.read[file]
end

-- Line and column of `place` = { file, line, key = "…", under = "…" | word = "…" }; the mark is on the key or word when
-- it is found.
function Report:_locate(place)
  local file, line = place.file or self.file, place.line
  if not line then
    local token = place.word and tokens.word(self:_read(file), place.word, 1)
    if not token then return file end
    return file, token.line, token.column, token.length
  end
  local token
  if place.key then token = tokens.key(self:_read(file), place.key, line, place.under) end
  if not token and place.word then token = tokens.word(self:_read(file), place.word, line) end
  if token then return file, token.line, token.column, token.length end
  return file, line, place.column
end

local function source_line(text, line)
  if not text or not line then return nil end
  local at = 1
  for _ = 2, line do
    local newline = text:find("\n", at, true)
    if not newline then return nil end
    at = newline + 1
  end
  return (text:match("^[^\n]*", at):gsub("\r$", ""))
end

---Adds a problem. `name` is one of codes.lua; `place` says where; `what` has message, found, expected, nearest, hint.
function Report:add(name, place, what)
  local entry = assert(codes.by_name[name], name)
  local file, line, column, length = self:_locate(place or {})
  local same = table.concat({ name, file, line or 0, column or 0, what.message, what.found or "" }, "\0")
  if self.seen[same] then return end
  self.seen[same] = true
  self.problems[#self.problems + 1] = {
    code = entry.code, name = name, severity = entry.warning and "warning" or "error", file = file, line = line,
    column = column, length = length, source = source_line(self.sources[file], line), message = what.message,
    found = what.found, expected = what.expected, nearest = what.nearest, hint = what.hint, order = #self.problems,
  }
end

---@return boolean any is there a problem that isn't a warning?
function Report:failed()
  for _, problem in ipairs(self.problems) do
    if problem.severity == "error" then return true end
  end
  return false
end

---@return srvthreds.pattern.Problem[] by place
function Report:sorted()
  table.sort(self.problems, function(a, b)
    if a.file ~= b.file then return a.file < b.file end
    if (a.line or 0) ~= (b.line or 0) then return (a.line or 0) < (b.line or 0) end
    if (a.column or 0) ~= (b.column or 0) then return (a.column or 0) < (b.column or 0) end
    return a.order < b.order
  end)
  return self.problems
end

-- Marks columns in a line that may hold tabs and UTF-8: the mark line keeps the tabs and one blank a character.
local function mark(problem)
  local before = problem.source:sub(1, problem.column - 1):gsub("[\128-\191]", ""):gsub("[^\t]", " ")
  local marked = problem.source:sub(problem.column, problem.column + (problem.length or 1) - 1):gsub("[\128-\191]", "")
  return before .. "^" .. ("~"):rep(math.max(0, #marked - 1))
end

local function excerpt(problem, out)
  if not problem.source or problem.source == "" then return end
  local number = ("%5d"):format(problem.line)
  out[#out + 1] = ("%s | %s"):format(number, problem.source)
  local first = problem.source:find("%S")
  local shown = problem.column and problem
    or first and { source = problem.source, column = first, length = #problem.source - first + 1 }
  if shown then out[#out + 1] = ("%s | %s"):format((" "):rep(#number), mark(shown)) end
end

---A problem as text for people: where, the line with a mark, found, expected, the nearest name, what to do, the code.
---@param problem srvthreds.pattern.Problem
---@return string
function report.format(problem)
  local where = problem.file
  if problem.line then where = where .. ":" .. problem.line end
  if problem.column then where = where .. ":" .. problem.column end
  local out = { ("%s: %s: %s [%s]"):format(where, problem.severity, problem.message, problem.code) }
  excerpt(problem, out)
  if problem.found then out[#out + 1] = "  found:    " .. problem.found end
  if problem.expected and not problem.message:find(problem.expected, 1, true) then
    out[#out + 1] = "  expected: " .. problem.expected
  end
  if problem.nearest then out[#out + 1] = "  did you mean `" .. problem.nearest .. "`?" end
  if problem.hint then out[#out + 1] = "  " .. problem.hint:gsub("\n", "\n  ") end
  return table.concat(out, "\n") .. "\n"
end

local kind_words = { pattern = "a pattern", reaction = "a reaction", filter = "a condition",
  ["and"] = "a condition",
  ["or"] = "a condition", op = "a matcher of p.where", unknown = "something unknown" }

---What a value is, for `found`.
---@param value any
---@param note table? what it stands for, if it is a node
---@return string
function report.show(value, note)
  if note then return ("%s (p.%s)"):format(kind_words[note.kind], note.word) end
  local kind = type(value)
  if value == nil then return "nothing" end
  if kind == "string" then
    local cut = #value > 60 and value:sub(1, utf8.offset(value, 0, 58) - 1) .. "…" or value
    return ('"%s"'):format((cut:gsub("[%c\"\\]", function(c) return ("%q"):format(c):sub(2, -2):gsub("\n", "n") end)))
  end
  if value ~= value then return "NaN" end
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "table" then return next(value) == nil and "an empty table" or #value > 0 and "a list" or "a table" end
  if kind == "function" then return "a function" end
  return kind == "userdata" and "null" or "a " .. kind
end

report.join = names.join

return report
