-- SPDX-License-Identifier: MIT
local config = require "srvthreds.config"
local json = require "core.json"
local output = require "srvthreds.cli.output"

local typed = { port = true, integer = true, boolean = true, list = true, paths = true }

local function show(call)
  local rows = config.rows(call.config)
  if (call.flags.output or "table") ~= "table" then
    for _, row in ipairs(rows) do
      local value = call.config.values[row.key]
      if typed[config.by_key[row.key].type] then row.value = type(value) == "table" and json.array(value) or value end
      row.unset = nil
    end
  end
  if call.words[1] then
    local wanted = {}
    for _, row in ipairs(rows) do
      if row.key:find(call.words[1], 1, true) then wanted[#wanted + 1] = row end
    end
    rows = wanted
  end
  output.list(call.flags.output, {
    { "key" },
    { "value", show = function(value, row) return row.unset and "(" .. row.unset .. ")" or value end },
    { "source", title = "from" },
  }, rows, "no key has that in its name")
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
