-- SPDX-License-Identifier: MIT
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local services = require "srvthreds.cli.services"

local pattern_text = [[
-- Asks everybody who sent it something: one event starts a thred, the next one of that thred is answered and ends it.
local p = require "srvthreds.pattern"

return p.pattern "TITLE" {
  description = "greets, waits for an answer, says goodbye",

  p.reaction "greet" {
    p.where { type = "NAME.hello" } {
      on_true = function(event, thred) thred.who = event.source.id end,
      transform = { title = function(_, thred) return "Hello, " .. thred.who end },
      publish = function(event) return event.source.id end,
    },
  },

  p.reaction "goodbye" {
    expiry = { after = "10m", transition = "$terminate" },
    p.where { type = "NAME.bye" } {
      transform = { title = function(_, thred) return "Goodbye, " .. thred.who end },
      publish = "$thred",
      transition = "$terminate",
    },
  },
}
]]

local config_text = [[
-- What this project needs besides the defaults; `srvthreds config show` says what there is.
return {
  patterns = { "./patterns" },
  data = "./srvthreds-data",
}
]]

local editor_text = [[
{
  "runtime.version": "Lua 5.4",
  "workspace.library": ["LIBRARY"],
  "workspace.checkThirdParty": false
}
]]

local function write(path, text)
  local ok, e = runtime.write_file(path, text)
  if not ok then problem.raise("failed", e) end
  output.say("  " .. path)
end

local function filled(text, values)
  return (text:gsub("%u%u%u%u+", values))
end

local function run(call)
  local folder = call.words[1]:gsub("/+$", "")
  local name = folder:match("[^/]+$")
  if not name:find("^%a[%w_%-]*$") then
    problem.raise("bad_value", ("%q can't be the name of a pattern"):format(name), { hint = "letters, digits, _ and -" })
  end
  if runtime.stat(folder) then
    problem.raise("exists", ("%s exists already"):format(folder), { hint = "take another name" })
  end
  local made, e = runtime.mkdirs(folder .. "/patterns")
  if not made then problem.raise("failed", e) end
  local title = name:gsub("[_%-]", " "):gsub("^%l", string.upper)
  local values = { NAME = name, TITLE = title, LIBRARY = services.shipped() .. "/library" }
  output.say("made:")
  write(("%s/patterns/%s.lua"):format(folder, name), filled(pattern_text, values))
  write(folder .. "/srvthreds.lua", filled(config_text, values))
  write(folder .. "/.luarc.json", filled(editor_text, values))
  write(folder .. "/.gitignore", "srvthreds-data/\n")
  output.say(("\nnow:\n  cd %s && srvthreds dev dev\nin another terminal there, be ann, one of the two people of the profile `dev`:\n"
    .. "  srvthreds join ann\nand type there:\n  /send type=%s.hello"):format(folder, name))
  return 0
end

return {
  name = "new", run = run, no_config = true, words = { { name = "NAME", help = "of the folder and of its first pattern" } },
  examples = { { "srvthreds new greeter", "then: cd greeter && srvthreds dev dev" } },
  about = "Makes a project folder: a pattern to change while it runs, the project's configuration, settings for editors\n"
    .. "that speak the Lua language server. Never overwrites anything.",
}
