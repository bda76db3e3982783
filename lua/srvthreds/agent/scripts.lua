-- SPDX-License-Identifier: MIT
-- Named scripts of the profile, for the task `run`: PROFILE/scripts/NAME.lua. One runs within the transaction of its
-- item; what it asks for by `db` is done in it, and when it fails nothing of it stays.
--
-- The file is compiled once and its chunk is called anew for each run, so that nothing is kept from one to the next.

local json = require "core.json"
local runtime = require "core.runtime"
local logs = require "core.log"
local script = require "core.script"
local budget = require "srvthreds.engine.budget"
local codes = require "srvthreds.engine.codes"
local nearest = require "srvthreds.nearest"
local plain = require "srvthreds.pattern.plain"

---@class srvthreds.Scripts
local scripts = {}
scripts.__index = scripts

local LIMITS = { cpu = 200, wall = 2000, memory = 32 << 20 } -- as of a pattern's step
local OPS = { "put", "getOne", "get", "update", "upsert", "replace", "delete", "count" }
local KEYS = { "run", "limits" }
local LIMIT_KEYS = { "cpu", "wall", "memory" }

-- What a script sees ------------------------------------------------------------------------------------------------

-- Encoded where it is bounded; the run is that of the script which asks, so the handle is the same for all of them.
local ask = script.trusted(function(tasks)
  local result, failure = script.context().run:run(tasks)
  if failure then return nil, failure.code, failure.message end
  return result
end)

local function run_tasks(tasks)
  local result, code, message = ask(json.copy(tasks))
  if not result then error(codes.error(code, message), 3) end
  result = json.copy(result)
  return result
end

local function method(op)
  return function(self, params)
    if type(self) ~= "table" or type(params) ~= "table" then
      error(("db:%s takes its params: db:%s { type = …, … }, with a colon"):format(op, op), 2)
    end
    local value = run_tasks { { op = op, params = params } }[1]
    if value ~= json.null then return value end
  end
end

local function face()
  local methods = {
    run = function(_, tasks)
      if type(tasks) ~= "table" then error("db:run takes a list of tasks: db:run { { op = …, params = … }, … }", 2) end
      return run_tasks(tasks)
    end,
  }
  for _, op in ipairs(OPS) do methods[op] = method(op) end
  return script.freeze(methods, "db")
end

local function environment()
  return script.environment {
    null = json.null, array = plain.array,
    require = function(name)
      if type(name) ~= "string" then error(("require takes a module's name, not a %s"):format(type(name)), 2) end
      return script.module(name) or error(("there is no module %q for scripts: cjson and cjson.safe are"):format(name), 2)
    end,
  }
end

-- Loading -----------------------------------------------------------------------------------------------------------

local function unknown(t, known, what)
  for key in next, t do
    local near = type(key) == "string" and nearest.of(key, known)
    local found = false
    for _, name in ipairs(known) do found = found or key == name end
    if not found then
      return ("%s has no %s%s"):format(what, type(key) == "string" and key or "key that is a " .. type(key),
        near and (": did you mean %s?"):format(near) or "")
    end
  end
end

-- Raw: the table is the script's.
local function limits_of(t)
  local limits = {}
  for _, key in ipairs(LIMIT_KEYS) do
    local value = rawget(t, key)
    if value ~= nil and (type(value) ~= "number" or value <= 0) then
      return nil, ("limits.%s is a number above 0: ms of cpu and wall, bytes of memory"):format(key), "limit"
    end
    limits[key] = value
  end
  local wrong = unknown(t, LIMIT_KEYS, "limits")
  return not wrong and limits or nil, wrong, "unknown_key"
end

---What a script's file returned -> its limits, or nil, what is wrong, and its name in script_codes.lua.
local function declared(value)
  if type(value) == "function" then return {} end
  if type(value) ~= "table" or type(rawget(value, "run")) ~= "function" then
    return nil, "a script's file returns function(db, args) … end, or { run = that function, limits = { … } }", "no_script"
  end
  local wrong = unknown(value, KEYS, "a script")
  if wrong then return nil, wrong, "unknown_key" end
  local limits = rawget(value, "limits")
  if limits == nil then return {} end
  if type(limits) ~= "table" then return nil, "limits is a table: { cpu = ms, wall = ms, memory = bytes }", "limit" end
  return limits_of(limits)
end

local function mistake(name, e)
  local message = e.message
  if e.file and e.line then
    local place = ("%s:%d: "):format(e.file, e.line)
    if message:sub(1, #place) == place then message = message:sub(#place + 1) end
  end
  return { name = name, line = e.line, message = message }
end

---Compiles and checks a script.
---@param source string
---@param file string as people know it
---@return table? script { chunk, meter }
---@return string? wrong
---@return table? mistake { name: in script_codes.lua, line: integer?, message: the same without the place }
function scripts.load(source, file)
  local chunk, e = script.load(source, "@" .. file, environment())
  if not chunk then return nil, e.message, mistake("syntax", e) end
  local ok, value = script.call({ now = runtime.now(), seed = 1 }, LIMITS, chunk)
  if not ok then return nil, value.message, mistake(value.kind == "error" and "run" or "budget", value) end
  local limits, wrong, name = declared(value)
  if not limits then return nil, ("%s: %s"):format(file, wrong), { name = name, message = wrong } end
  local known, meter = pcall(script.meter, {
    pattern = "script " .. file:match "([^/]+)%.lua$", file = file, cpu = limits.cpu or LIMITS.cpu,
    wall = limits.wall or LIMITS.wall, memory = limits.memory or LIMITS.memory,
  })
  if not known then
    return nil, ("%s: %s"):format(file, tostring(meter)), { name = "limit", message = tostring(meter) }
  end
  return { chunk = chunk, meter = meter }
end

-- Running -----------------------------------------------------------------------------------------------------------

-- A part of the script, under its limits.
local function start(chunk, db, args)
  local value = chunk()
  local fn = type(value) == "table" and rawget(value, "run") or value
  local result = fn(db, args)
  if result == nil then return nil end
  return json.copy(result)
end

local function write_log(self, name, lines)
  for _, line in ipairs(lines or {}) do self.log.info(line, { script = name }) end
end

local function execute(self, run, call)
  local one = self.loaded[call.script]
  if not one then
    error(codes.error(codes.argument, ("the script %s can't be used: %s"):format(call.script,
      self.problems[call.script] or "it is gone")), 0)
  end
  local context = { now = call.now, seed = call.seed, run = run }
  local ok, v = script.call(context, one.meter, start, one.chunk, self.db, call.args)
  write_log(self, call.script, context.log)
  if ok then
    if v == nil then return json.null end
    return v
  end
  budget.failed("script " .. call.script, nil, v.kind)
  local code = codes.raised(v.value)
  error(codes.error(code or codes.task, codes.text(v.message)), 0)
end

-- Files -------------------------------------------------------------------------------------------------------------

local function tell_names(self)
  local names = {}
  for name in pairs(self.sources) do names[#names + 1] = name end
  table.sort(names)
  self.docdb:scripts(names, function(run, call) return execute(self, run, call) end)
end

local function name_of(path) return path:match "([^/]+)%.lua$" end

---A file is there: compiled first; a bad one changes nothing.
---@param path string
---@param source string
---@return boolean? loaded false: it is known already; nil: it is bad
---@return string? wrong
function scripts:reload(path, source)
  local name = name_of(path)
  if self.sources[name] == source then return false end
  self.sources[name] = source
  local one, wrong = scripts.load(source, path)
  self.problems[name] = wrong
  if one then self.loaded[name] = one end
  tell_names(self)
  if not one then return nil, wrong end
  return true
end

---A file is gone.
---@param path string
function scripts:remove(path)
  local name = name_of(path)
  self.sources[name], self.loaded[name], self.problems[name] = nil, nil, nil
  tell_names(self)
end

---@param options { docdb: table, folder: string? } folder: of the profile, there or not
---@return srvthreds.Scripts
function scripts.new(options)
  local self = setmetatable({
    docdb = options.docdb, folder = options.folder, db = face(), loaded = {}, sources = {}, problems = {},
    log = logs.logger { module = "script" },
  }, scripts)
  for _, name in ipairs(self.folder and runtime.list(self.folder) or {}) do
    local path = self.folder .. "/" .. name
    local source = name:match "^[^.].*%.lua$" and not name:match "_test%.lua$" and runtime.read_file(path)
    local _, wrong = nil, nil
    if source then _, wrong = self:reload(path, source) end
    if wrong then self.log.error(("%s can't be used\n%s"):format(path, wrong)) end
  end
  return self
end

return scripts
