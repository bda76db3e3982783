-- SPDX-License-Identifier: MIT
-- Every message of the loader against its golden text: tests/spec/golden/pattern_*.txt, each a file with mistakes, a
-- line =====, and what the author reads. SRVTHREDS_GOLDEN=write writes the texts anew; read the difference before you
-- commit.
local t = require "srvthreds.spec"
local codes = require "srvthreds.pattern.codes"
local pattern = require "srvthreds.pattern"
local runtime = require "core.runtime"

local folder = "tests/spec/golden/"
local seen = {}

local function printed(source)
  local loaded, problems = pattern.load(source, "patterns/orders.lua",
    { maxima = { cpu = 5000, wall = 300000, memory = 256 << 20 } })
  local out = {}
  for i, problem in ipairs(problems) do
    out[i] = pattern.format(problem)
    seen[problem.code] = true
    t.ok(problem.line, "every problem has a line: " .. problem.message)
    t.ok(not loaded or problem.severity == "warning", "nothing with mistakes is loaded")
  end
  return table.concat(out, "\n")
end

local function check(name)
  local path = folder .. name
  local text = runtime.read_file(path)
  local source, expected = text:match("^(.-\n)=====\n(.*)$")
  local found = printed(source)
  if os.getenv "SRVTHREDS_GOLDEN" == "write" then
    runtime.write_file(path, source .. "=====\n" .. found, 420)
    expected = found
  end
  t.ok(found ~= "", "there is something to say")
  t.eq(found, expected)
end

for _, name in ipairs(runtime.list(folder)) do
  if name:find("^pattern_.*%.txt$") then t.task(name, function() check(name) end) end
end

t.test("every code has a golden text", function()
  seen["SRV-P003"] = true -- over its budget: pattern_load_spec
  for _, entry in ipairs(codes.list) do t.ok(seen[entry.code], entry.code .. " " .. entry.name) end
end)

return t.finish()
