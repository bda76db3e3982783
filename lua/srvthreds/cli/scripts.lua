-- SPDX-License-Identifier: MIT
-- What scripts have used, as verbs show it.
local output = require "srvthreds.cli.output"

local scripts = {}

local function ms(value)
  if type(value) ~= "number" then return "" end
  return value < 1000 and ("%.1f ms"):format(value) or ("%.1f s"):format(value / 1000)
end

local function bytes(value)
  if type(value) ~= "number" then return "" end
  return value < 1048576 and ("%.1f KiB"):format(value / 1024) or ("%.1f MiB"):format(value / 1048576)
end

---For a column of a list: the CPU time of all its steps, the most memory that one held.
function scripts.cpu(used) return type(used) == "table" and ms(used.cpu_ms) or "" end

function scripts.memory(used) return type(used) == "table" and bytes(used.peak_bytes) or "" end

---A table of reactions.
---@param usage table[]? of the admin API
function scripts.print(usage)
  if type(usage) ~= "table" or not usage[1] then return end
  output.line("\n" .. output.colour("bold", "Scripts since the start, of all its threds"))
  output.list("table", {
    { "reaction" }, { "calls", right = true }, { "cpu_ms", title = "cpu", show = ms, right = true },
    { "wall_ms", title = "wall", show = ms, right = true }, { "bytes", title = "taken", show = bytes, right = true },
    { "peak_bytes", title = "most held", show = bytes, right = true }, { "exceeded", title = "over a limit", right = true },
  }, usage)
end

return scripts
