-- SPDX-License-Identifier: MIT
local codes = require "srvthreds.cli.codes"
local model_codes = require "srvthreds.cli.model_codes"
local nearest = require "srvthreds.nearest"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"

local function all_codes()
  local all = {}
  for _, entry in ipairs(require("srvthreds.pattern.codes").list) do all[#all + 1] = entry end
  local script_codes = require "srvthreds.agent.script_codes"
  for _, list in ipairs { script_codes.list, codes.list, model_codes } do table.move(list, 1, #list, #all + 1, all) end
  return all
end

local function normal(word)
  local letter, number = word:upper():match("^S?R?V?%-?([PSC])(%d+)$")
  return letter and ("SRV-%s%03d"):format(letter, tonumber(number)) or word:upper()
end

local function list(call, all)
  local rows = {}
  for i, entry in ipairs(all) do rows[i] = { code = entry.code, title = entry.title } end
  output.list(call.flags.output, { { "code" }, { "title" } }, rows)
  return 0
end

-- docs/errors.md; a test compares the two.
local function print_docs(all)
  output.line("<!-- Made by `srvthreds explain docs > docs/errors.md`; edit pattern/codes.lua, agent/script_codes.lua, "
    .. "cli/codes.lua and cli/model_codes.lua instead. -->")
  output.line("# Errors\n\nThe code at the end of a message, or in an answer's `error`, and what to do about it. "
    .. "`srvthreds explain CODE` says the same.")
  for _, entry in ipairs(all) do
    local text = entry.text:gsub("%s+$", "")
    output.line(("\n## %s: %s%s\n\n%s"):format(entry.code, entry.title, entry.warning and " (a warning)" or "", text))
  end
end

local function run(call)
  local all, wanted = all_codes(), call.words[1]
  if wanted == "docs" then
    print_docs(all)
    return 0
  end
  if not wanted then return list(call, all) end
  local known = {}
  for i, entry in ipairs(all) do
    known[i] = entry.code
    if entry.code == normal(wanted) then
      output.line(output.colour("bold", ("%s: %s"):format(entry.code, entry.title)))
      output.line("")
      output.line(entry.text)
      return 0
    end
  end
  problem.raise("not_found", ("there is no code %s"):format(wanted),
    { nearest = nearest.of(normal(wanted), known), hint = "`srvthreds explain` lists them" })
end

return {
  name = "explain", run = run, lists = true, no_config = true,
  words = { { name = "CODE", optional = true,
    help = "as it stands in brackets at a message, or in an error's code; without it: all codes" } },
  examples = { { "srvthreds explain SRV-P012" }, { "srvthreds explain p12", "the same" }, { "srvthreds explain 5203" },
    { "srvthreds explain" } },
  about = "What a code at the end of a message or in an error means, and what to do about it.",
}
