-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms
-- The same scripts in a stock Lua and in the sandbox, where they are interrupted as often as the timer allows: no
-- difference. Each gives one text; cases stand in script_semantics_cases.txt, divided by lines of four dashes.
local script = require "core.script"

local env = script.environment {}
local file = assert(io.open("tests/unit/script_semantics_cases.txt"))
local cases = file:read("a")
file:close()

local function in_sandbox(source)
  local fn, problem = script.load(source, "=x", env)
  if not fn then return "error:" .. problem.message end
  local ok, value = script.call({ seed = 1 }, { cpu = 600000, wall = 600000 }, fn)
  if ok then return "ok:" .. tostring(value) end
  return "error:" .. tostring(value.value or value.message)
end

local count, before = 0, slice(2000)
for source in (cases .. "----\n"):gmatch("(.-)\n%-%-%-%-\n") do
  count = count + 1
  local expected = stock(source)
  for _, us in ipairs { 20, 23, 31, 47, 2000 } do
    slice(us)
    for _ = 1, us < 100 and 8 or 1 do
      local got = in_sandbox(source)
      if got ~= expected then error(("case %d:\n%s\n  stock   %s\n  sandbox %s"):format(count, source, expected, got)) end
    end
  end
end
assert(count >= 40, count)
local preempted = slice(2000) - before
assert(preempted > 100, preempted)
