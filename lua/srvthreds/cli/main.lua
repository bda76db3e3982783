-- SPDX-License-Identifier: MIT
-- The command line. Runs as a task; a verb gives its exit code, or nothing if it goes on as a service.
local args = require "srvthreds.cli.args"
local config = require "srvthreds.config"
local help = require "srvthreds.cli.help"
local nearest = require "srvthreds.nearest"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local script = require "core.script"
local verbs = require "srvthreds.cli.verbs"

local aliases = { ["--version"] = "version", ["-v"] = "version", ["-V"] = "version" }

local function unknown_verb(before, word, known)
  local hint = before and ("srvthreds %s --help lists them"):format(before) or "srvthreds --help lists them"
  local meant = nearest.of(word, known)
  problem.raise("unknown_verb", ("unknown verb %q"):format(before and before .. " " .. word or word),
    { nearest = meant and ("srvthreds %s"):format(before and before .. " " .. meant or meant), hint = hint })
end

-- `threds list`: a verb below a verb. Help without one of them shows them all.
local function below(verb, words)
  local word = words[1]
  if word == nil or word == "-h" or word == "--help" then
    output.line(help.verb(verb))
    return nil, word and 0 or 2
  end
  local known = {}
  for _, one in ipairs(verb.verbs) do
    known[#known + 1] = one.name:match("%S+$")
    if known[#known] == word then return one end
  end
  unknown_verb(verb.name, word, known)
end

-- Whatever this process loads or runs.
local function limit_scripts(values)
  script.maxima { cpu = values["scripts.cpu_max"], wall = values["scripts.wall_max"], memory = values["scripts.memory_max"] }
end

local function run(words)
  local name = aliases[words[1]] or table.remove(words, 1)
  if aliases[words[1]] then table.remove(words, 1) end
  if not name then
    output.line(help.short())
    return 0
  end
  if name == "-h" or name == "--help" or name == "help" and not words[1] then
    output.line(help.all())
    return 0
  end
  if name == "help" then name, words[1] = table.remove(words, 1), "--help" end
  local verb = verbs.load(name) or unknown_verb(nil, name, verbs.names)
  if verb.verbs then
    local code
    verb, code = below(verb, words)
    if not verb then return code end
    table.remove(words, 1)
  end
  local call = args.parse(verb, words)
  if call.flags.help then
    output.line(help.verb(verb))
    return 0
  end
  if not verb.no_config then
    call.config = config.load { flags = call.keys, file = call.file }
    limit_scripts(call.config.values)
  end
  return verb.run(call)
end

-- Codes of the model that say no: exists already (a data folder in use), not allowed.
local refusals = { [5202] = true, [4101] = true }

-- A problem is an answer; anything else that is raised is told as it is, a bug with its traceback.
local function told(raised)
  if problem.is(raised) then return raised end
  if type(raised) == "table" and raised.message then
    local text = raised.message
    if raised.cause and raised.cause ~= "" then text = text .. ": " .. tostring(raised.cause) end
    return problem.new(refusals[raised.code] and "refused" or "failed", text)
  end
  raised = tostring(raised)
  return raised:find("\nstack traceback:", 1, true) and raised or debug.traceback(raised, 2)
end

local ok, result = xpcall(run, told, { ... })
if not ok then
  io.stdout:flush()
  io.stderr:write(tostring(result), "\n")
  result = problem.is(result) and result.exit or 1
end
if result then runtime.stop(result) end
