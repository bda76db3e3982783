-- SPDX-License-Identifier: MIT
-- Words of a command line -> arguments, the verb's flags, and keys of the configuration (each is a flag of every verb).
local config = require "srvthreds.config"
local nearest = require "srvthreds.nearest"
local problem = require "srvthreds.cli.problem"
local values = require "srvthreds.config_values"

---@class srvthreds.cli.Flag
---@field name string "wait"
---@field short string? "c"
---@field value string? its name in the help, "2s"; nil: the flag takes none
---@field optional boolean? the value may be left out: --wait or --wait=2s
---@field many boolean? it may be repeated: a list
---@field type string? of config_values: "duration", "integer", …
---@field choices string[]?
---@field min integer?
---@field help string

---@class srvthreds.cli.Call
---@field verb table the verb's table
---@field words string[] arguments without flags
---@field flags table<string, any>
---@field keys table<string, string[]> configuration keys given as flags
---@field file string? of --config
---@field order table[] { flag name, value } as they came, for flags that go in pairs
local args = {}

---@type srvthreds.cli.Flag[]
args.common = {
  { name = "help", short = "h", help = "examples, flags and what it does" },
  { name = "output", short = "o", value = "FORMAT", type = "choice", choices = { "table", "json", "jsonl" },
    help = "table, json or jsonl" },
  { name = "config", value = "FILE", help = "the configuration file, instead of ./srvthreds.lua" },
}

local function find(flags, field, name)
  for _, flag in ipairs(flags) do
    if flag[field] == name then return flag end
  end
end

local function all_names(verb)
  local out = {}
  for _, list in ipairs { verb.flags or {}, args.common } do
    for _, flag in ipairs(list) do out[#out + 1] = "--" .. flag.name end
  end
  for _, key in ipairs(config.names) do
    if not config.by_key[key].secret then out[#out + 1] = "--" .. config.flag_of(key) end
  end
  return out
end

local function help_hint(verb)
  return ("srvthreds %s --help shows its flags"):format(verb.name)
end

local function unknown(verb, word)
  problem.raise("unknown_flag", ("%s: unknown flag %s"):format(verb.name, word),
    { nearest = nearest.of(word, all_names(verb)), hint = help_hint(verb) })
end

local function no_value(name)
  problem.raise("missing", ("%s needs a value"):format(name))
end

local function typed(flag, text, name)
  if not flag.type then return text end
  local parsed, what, near = values.parse(flag, text)
  if parsed == nil then
    problem.raise("bad_value", ("%s: %s"):format(name, what), { nearest = near, hint = flag.help })
  end
  return parsed
end

local function store_flag(call, flag, value)
  call.order[#call.order + 1] = { flag.name, value }
  if not flag.many then
    call.flags[flag.name] = value
    return
  end
  local list = call.flags[flag.name] or {}
  list[#list + 1] = value
  call.flags[flag.name] = list
end

-- Gives how many words the flag used.
local function take_flag(call, flag, name, attached, following)
  if not flag.value then
    if attached then problem.raise("bad_value", ("%s takes no value"):format(name)) end
    store_flag(call, flag, true)
    return 1
  end
  local text = attached
  if not text and flag.optional then
    store_flag(call, flag, true)
    return 1
  end
  text = text or following or no_value(name)
  store_flag(call, flag, typed(flag, text, name))
  return attached and 1 or 2
end

local function take_key(call, entry, name, attached, following)
  if entry.secret then
    problem.raise("secret_flag", ("%s: a secret is never a flag"):format(name),
      { hint = ("set %s, or %s_FILE to the file that holds it"):format(
        config.environment_of(entry.key), config.environment_of(entry.key)) })
  end
  local list = call.keys[entry.key] or {}
  call.keys[entry.key] = list
  if entry.type == "boolean" then
    list[#list + 1] = attached or "true"
    return 1
  end
  list[#list + 1] = attached or following or no_value(name)
  return attached and 1 or 2
end

local function take_long(call, word, following)
  local name, attached = word:match("^%-%-([^=]+)=(.*)$")
  name = name or word:sub(3)
  local flag = find(call.verb.flags or {}, "name", name) or find(args.common, "name", name)
  if flag then return take_flag(call, flag, "--" .. name, attached, following) end
  local entry = config.by_flag[name]
  if entry then return take_key(call, entry, "--" .. name, attached, following) end
  entry = name:sub(1, 3) == "no-" and config.by_flag[name:sub(4)]
  if entry and entry.type == "boolean" and not attached then return take_key(call, entry, "--" .. name, "false") end
  unknown(call.verb, "--" .. name)
end

local function take_short(call, word, following)
  local letter, attached = word:sub(2, 2), word:sub(3)
  local flag = find(call.verb.flags or {}, "short", letter) or find(args.common, "short", letter)
  if not flag then unknown(call.verb, word) end
  if attached ~= "" and flag.value then return take_flag(call, flag, "-" .. letter, (attached:gsub("^=", ""))) end
  if attached ~= "" then
    take_flag(call, flag, "-" .. letter)
    return take_short(call, "-" .. attached, following)
  end
  return take_flag(call, flag, "-" .. letter, nil, following)
end

local function check_words(call)
  local verb, wanted = call.verb, call.verb.words or {}
  local at = 0
  for _, word in ipairs(wanted) do
    at = at + 1
    if not word.optional and not call.words[at] then
      local example = verb.examples and verb.examples[1] and "for example: " .. verb.examples[1][1] .. "\n" or ""
      problem.raise("missing", ("%s needs %s: %s"):format(verb.name, word.name, word.help),
        { hint = example .. help_hint(verb) })
    end
    if word.many then return end
  end
  if #call.words > at then
    problem.raise("too_many", ("%s: %q is one argument too many"):format(verb.name, call.words[at + 1]),
      { hint = help_hint(verb) })
  end
end

---@param verb table { name, words = { { name, help, optional?, many? } }, flags = { … } }
---@param words string[] behind the verb
---@return srvthreds.cli.Call
function args.parse(verb, words)
  local call = { verb = verb, words = {}, flags = {}, keys = {}, order = {} }
  local at = 1
  while at <= #words do
    local word = words[at]
    if word == "--" then
      table.move(words, at + 1, #words, #call.words + 1, call.words)
      break
    elseif word:find("^%-%-.") then
      at = at + take_long(call, word, words[at + 1])
    elseif word:find("^%-[^%d]") then
      at = at + take_short(call, word, words[at + 1])
    else
      call.words[#call.words + 1] = word
      at = at + 1
    end
  end
  call.file = call.flags.config
  if not call.flags.help then check_words(call) end
  return call
end

return args
