-- SPDX-License-Identifier: MIT
-- Every mistake that loading a script (PROFILE/scripts/NAME.lua) can find, as pattern/codes.lua has them for patterns.

---@type srvthreds.pattern.Code[]
local list = {
  { name = "syntax", code = "SRV-S001",
    title = "the script is not valid Lua",
    text = "The Lua compiler stopped at this line; the cause is often one line above. It runs nowhere: a task `run`\n"
      .. "that names it fails with 4200, or goes on with the version before, if there was one." },
  { name = "run", code = "SRV-S002",
    title = "the script stopped with an error while it was loaded",
    text = "A script's file is run for each `run` to get its function. What stands outside of the function must not\n"
      .. "fail: usually it is a misspelt name, or a module that scripts can't require (cjson and cjson.safe\n"
      .. "they can)." },
  { name = "budget", code = "SRV-S003",
    title = "the script used too much time or memory while it was loaded",
    text = "What stands outside of the function must take milliseconds. Look for an endless loop there." },
  { name = "no_script", code = "SRV-S004",
    title = "the file doesn't return a script",
    text = "A file in `scripts/` returns `function(db, args) … end`, or\n"
      .. "`{ run = that function, limits = { cpu = ms, wall = ms, memory = bytes } }`." },
  { name = "unknown_key", code = "SRV-S005",
    title = "an unknown key of a script",
    text = "The table that a script's file returns has `run` and `limits`, and limits has `cpu`, `wall` and `memory`." },
  { name = "limit", code = "SRV-S006",
    title = "a limit of a script that can't be used",
    text = "Limits are numbers above 0: milliseconds of processor time and by the clock, bytes of memory. They may be\n"
      .. "as high as the keys scripts.cpu_max, scripts.wall_max and scripts.memory_max of the configuration say." },
}

local codes = { list = list, by_name = {} }
for _, entry in ipairs(list) do codes.by_name[entry.name] = entry end

return codes
