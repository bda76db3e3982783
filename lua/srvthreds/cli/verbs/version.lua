-- SPDX-License-Identifier: MIT
local build = require "core.build"
local json = require "core.json"
local output = require "srvthreds.cli.output"

local function run(call)
  local rows = { { "srvthreds", build.version }, { "build", ("%s, %s"):format(build.build, build.compiler) } }
  for _, library in ipairs(build.libraries) do rows[#rows + 1] = library end
  if (call.flags.output or "table") == "table" then
    output.facts(rows)
    return 0
  end
  local all = {}
  for _, row in ipairs(rows) do all[row[1]] = row[2] end
  output.line(json.encode(all))
  return 0
end

return {
  name = "version", lists = true, no_config = true, run = run,
  examples = { { "srvthreds version" }, { "srvthreds version -o json" } },
  about = "The version of the program, how it was built, and the libraries it was linked with.",
}
