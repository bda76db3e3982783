-- SPDX-License-Identifier: MIT
-- Loads a pattern file: runs it in an environment of its own and checks what it returns.
local build = require "srvthreds.pattern.build"
local names = require "srvthreds.pattern.names"
local nodes = require "srvthreds.pattern.nodes"
local plain = require "srvthreds.pattern.plain"
local pure = require "srvthreds.pattern.pure"
local report = require "srvthreds.pattern.report"
local script = require "core.script"

local load = {}

local load_limits = { cpu = 500, wall = 5000, memory = 64 * 1048576 }

local function message_of(err)
  if type(err) == "table" then return tostring(err.message or err.kind or "?") end
  return tostring(err)
end

-- Splits "file:12: text" into the line and the text.
local function split(text)
  local line, rest = text:match("^[^\n]-:(%d+): (.*)$")
  return tonumber(line), rest or text
end

local syntax_hints = {
  { "'}' expected %(to close '{' at line (%d+)%) near",
    "usually a comma is missing before this, or the table that begins in "
    .. "line %s isn't closed" },
  { "'}' expected near", "usually a comma is missing before this" },
  { "'%)' expected", "a bracket isn't closed, or a comma is missing" },
  { "'end' expected", "a function, if, for or while isn't closed by `end`" },
  { "'=' expected near", "a statement is not complete; is something missing before it?" },
  { "unfinished string", "the text isn't closed by its quotation mark before the line ends" },
  { "'<eof>' expected near", "nothing may follow `return`; is there an `end` or a bracket too many?" },
}

local function syntax_hint(text, near)
  if near == "=" then return "to compare, write ==; to give a value, the name stands before it alone" end
  if near == "<eof>" and text:find "unexpected symbol" then
    return "something is missing at the end, or there is a comma too many"
  end
  for _, entry in ipairs(syntax_hints) do
    local found, _, capture = text:find(entry[1])
    if found then return capture and entry[2]:format(capture) or entry[2] end
  end
end

-- The last line that isn't empty.
local function last_line(source)
  local _, lines = source:gsub("%s+$", ""):gsub("\n", "")
  return lines + 1
end

local function report_syntax(state, err, file)
  local line, text = split(message_of(err))
  if type(err) == "table" then line = err.line or line end
  local near = text:match("near '(.-)'$") or text:match "near (<eof>)$"
  if near == "<eof>" or text:find "^no visible label" then line = math.min(line, last_line(state.sources[file])) end
  state.report:add("syntax", { file = file, line = line, word = near and near:match("^[%w_]+$") }, {
    message = text:gsub(" near '.-'$", ""):gsub(" near <eof>$", " at the end of the file"),
    found = near and near ~= "<eof>" and "`" .. near .. "`" or nil,
    hint = syntax_hint(text, near) })
end

-- The name that a message is about, for the mark, and what the sandbox guesses was meant.
local function run_hint(text)
  local name, nearest = text:match('^global "([^"]+)" is not known: did you mean "([^"]+)"')
  return name or text:match("%(%a+ '([^']+)'%)") or text:match('^%a+ "([^"]+)"'), nearest
end

local function report_run(state, err, file)
  local kind = type(err) == "table" and err.kind or "error"
  local line, text = split(message_of(err))
  if type(err) == "table" then line, file = err.line or line, err.file or file end
  file = type(file) == "string" and file:gsub("^@", "") or state.report.file
  if kind ~= "error" then
    state.report:add("budget", { file = file, line = line }, {
      message = "the file was stopped while it was loaded: " .. text:gsub("^the script was ended: ", ""),
      hint = "loading only describes the pattern; is there an endless loop?" })
    return
  end
  local word, nearest = run_hint(text)
  state.report:add("run", { file = file, line = line, word = word }, {
    message = text:gsub(": did you mean .*$", ""), nearest = nearest })
end

local run

local function find_module(modules, name)
  if type(modules) == "function" then return modules(name) end
  local wanted = "/" .. name:gsub("%.", "/") .. ".lua"
  for _, path in ipairs(modules and names.sorted(modules) or {}) do
    if ("/" .. path):sub(-#wanted) == wanted then return modules[path], path end
  end
end

-- What `require` gives the files of one load: the pattern module, and modules by their source, once each.
local function require_in(state)
  return function(name)
    if name == "srvthreds.pattern" then return state.nodes.face end
    local known = script.module(name)
    if known then return known end
    local module = state.modules[name]
    if module then
      if module.loading then error(("the module %q requires itself"):format(tostring(name)), 2) end
      return module.value
    end
    local source, file
    if type(name) == "string" then source, file = find_module(state.options.modules, name) end
    if source then
      module = { loading = true }
      state.modules[name] = module
      state.required[#state.required + 1] = name
      module.value = run(state, source, file or name)
      module.loading = false
      return module.value
    end
    local value = state.options.require and state.options.require(name)
    if value == nil then
      local shown = (type(name) == "string" or type(name) == "number") and tostring(name) or "a " .. type(name)
      state.missing[#state.missing + 1] = shown
      error(("module %q not found"):format(shown), 2)
    end
    return value
  end
end

local function new_environment(state)
  return script.environment { require = require_in(state) }
end

-- Runs a module's file inside the script call that required it.
function run(state, source, file)
  state.sources[file] = source
  local chunk, err = script.load(source, "@" .. file, new_environment(state))
  if not chunk then
    report_syntax(state, err, file)
    error(("module %s can't be loaded"):format(file), 0)
  end
  local value = chunk()
  if value == nil then value = true end
  return value
end

local function report_return(state, value, file)
  local note = state.nodes.notes[value]
  state.report:add("no_pattern", { file = file, line = note and note.line or last_line(state.sources[file]) }, {
    message = "the file doesn't return a pattern", found = report.show(value, note),
    expected = 'return p.pattern "Name" { … }',
    hint = value == nil and "`return` is missing before p.pattern, or it is missing at the end of the file" or nil })
end

local function report_unknown(state)
  for _, note in ipairs(state.nodes.unknown) do
    state.report:add("unknown_function", { file = note.file, line = note.line, word = note.name }, {
      message = ("p.%s doesn't exist"):format(note.name), nearest = note.nearest and "p." .. note.nearest,
      expected = not note.nearest and names.join(state.nodes.known) or nil })
  end
end

local function is_plain(state, node)
  local note, why = plain.violation(node, state.nodes.notes)
  if not note then return true end
  state.report:add("wrong_type", { file = note.file, line = note.line, word = note.word }, {
    message = ("this p.%s holds what can't be read"):format(note.word), found = why,
    expected = "plain tables" })
  return false
end

-- Runs the file; returns the note and the node that it returned, or nil after a report.
local function run_file(state, source, file)
  local chunk, err = script.load(source, "@" .. file, new_environment(state))
  if not chunk then return report_syntax(state, err, file) end
  local context = { now = 0, seed = 0, log = {} }
  local ok, value = script.call(context, state.options.limits or load_limits, chunk)
  report_unknown(state)
  if not ok then
    if state.missing[1] then
      state.report:add("no_module", { file = file, line = type(value) == "table" and value.line or 1,
        word = state.missing[1] }, { message = ('there is no module "%s"'):format(state.missing[1]),
        expected = '"srvthreds.pattern", or "lib.NAME" for the file lib/NAME.lua beside the patterns' })
    elseif not state.report:failed() or #state.nodes.unknown > 0 then
      report_run(state, value, file)
    end
    return nil
  end
  local note = type(value) == "table" and state.nodes.notes[value]
  if note and note.kind == "pattern" then return note, value end
  if not (note and note.kind == "unknown") then report_return(state, value, file) end
end

---Loads a pattern from its source. To be called in a task: the file runs as a script.
---@param source string
---@param file string its name, for messages
---@param options { modules: table<string, string>|(fun(name: string): string?, string?)?, require: (fun(name: string):
---  any)?, host: table?, version: string?, limits: table?, stored: boolean?, maxima: table? }? modules: path -> source
---  ("lib.geo" is the path that ends in lib/geo.lua), or a function that gives source and path by name; require: anything
---  else by name; stored: it has been good once, so that limits above today's maxima are no mistake (they are cut)
---@return table? pattern in the model's form (docs/decisions/pattern-model.md), or nil if there are mistakes
---@return srvthreds.pattern.Problem[] problems mistakes and warnings, by place
---@return string[] required names of the modules it used, in order
function load.load(source, file, options)
  options = options or {}
  local sources = { [file] = source }
  local state = { report = report.new(sources, file), sources = sources, options = options, modules = {}, required = {},
    missing = {} }
  local empty = {}
  state.nodes = nodes.new(sources, function() return options.host or require "srvthreds.pattern".host or empty end)
  local note, node = run_file(state, source, file)
  if note and not is_plain(state, node) then note = nil end
  if note and not options.stored then
    pure.check { report = state.report, notes = state.nodes.notes, files = sources, node = node }
  end
  local maxima = not options.stored and (options.maxima or script.maxima {}) or nil
  local pattern = note and build.pattern({ report = state.report, notes = state.nodes.notes, maxima = maxima }, note)
  local problems = state.report:sorted()
  state.nodes.finish()
  if state.report:failed() or not pattern then return nil, problems, state.required end
  pattern.version = options.version
  return build.finish(pattern), problems, state.required
end

return load
