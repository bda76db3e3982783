-- SPDX-License-Identifier: MIT
local config = require "srvthreds.config"
local json = require "core.json"
local nearest = require "srvthreds.nearest"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"

local typed = { port = true, integer = true, boolean = true, list = true, paths = true }

-- The rows whose key has that in its name; none is a mistake.
local function with_part(rows, part)
  local found, keys = {}, {}
  for _, row in ipairs(rows) do
    keys[#keys + 1], keys[#keys + 2] = row.key, row.key:match "^(.-)%."
    if row.key:find(part, 1, true) then found[#found + 1] = row end
  end
  if found[1] then return found end
  local near = nearest.of(part, keys)
  problem.raise("unknown_key", ("no key has %q in its name"):format(part), { nearest = near,
    hint = not near and "srvthreds config show lists them all" or nil })
end

local function show(call)
  local rows = config.rows(call.config)
  if (call.flags.output or "table") ~= "table" then
    for _, row in ipairs(rows) do
      local value = call.config.values[row.key]
      if typed[config.by_key[row.key].type] then row.value = type(value) == "table" and json.array(value) or value end
      row.unset = nil
    end
  end
  local part = call.words[1]
  if part then rows = with_part(rows, part) end
  output.list(call.flags.output, {
    { "key" },
    { "value", show = function(value, row) return row.unset and "(" .. row.unset .. ")" or value end },
    { "source", title = "from" },
  }, rows)
  for _, note in ipairs(call.config.notes) do output.say("note: " .. note) end
  return 0
end

local function docs()
  io.stdout:write(require("srvthreds.config_docs").text())
  return 0
end

return {
  name = "config",
  examples = {
    { "srvthreds config show", "each key, its value and where it came from" },
    { "srvthreds config show session", "only keys with session in their name" },
    { "srvthreds config show -o json" },
  },
  about = [[
Flags come before the environment, that before ./srvthreds.lua (or --config FILE), that before the user's file
(~/.config/srvthreds/config.lua), that before the defaults. Secrets are masked.]],
  verbs = {
    { name = "config show", line = "each key, its value and where it came from", lists = true, run = show,
      words = { { name = "PART", optional = true, help = "of the names of the keys" } },
      examples = { { "srvthreds config show" }, { "srvthreds config show session -o json" } } },
    { name = "config docs", line = "the page docs/configuration.md", no_config = true, run = docs,
      examples = { { "srvthreds config docs > docs/configuration.md" } } },
  },
}
