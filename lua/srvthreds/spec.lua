-- SPDX-License-Identifier: MIT
-- The smallest test module for specs in Lua: prints TAP; a failure names its file and line.
--
--   local t = require "srvthreds.spec"
--   t.test("adds", function() t.eq(1 + 1, 2) end)
--   t.task("waits", function() runtime.sleep(5) end, 10)
--   return t.finish()
local spec = { count = 0, failed = 0 }

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- A value as text, deep enough to compare two by eye.
local function show(value, depth)
  depth = depth or 0
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" or depth > 6 or (getmetatable(value) or {}).__tostring then return tostring(value) end
  local out = {}
  for _, key in ipairs(sorted_keys(value)) do out[#out + 1] = ("%s = %s"):format(key, show(value[key], depth + 1)) end
  return "{ " .. table.concat(out, ", ") .. " }"
end

local function same(a, b, depth)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" or depth > 20 then
    return a == b and math.type(a) == math.type(b)
  end
  for key, value in pairs(a) do
    if not same(value, b[key], depth + 1) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function fail(message) error({ spec = message, at = debug.traceback("", 3) }, 0) end

---Are the values equal? Tables deeply; 1 and 1.0 differ.
function spec.eq(found, expected, what)
  if same(found, expected, 0) then return end
  fail(("%sfound    %s\nexpected %s"):format(what and what .. ": " or "", show(found), show(expected)))
end

---Is the value true-ish?
function spec.ok(value, what)
  if not value then fail(("%sfound %s, expected something true"):format(what and what .. ": " or "", show(value))) end
  return value
end

---Does fn raise an error whose message holds `text` (plain)? Gives the error.
function spec.raises(fn, text)
  local ok, err = pcall(fn)
  if ok then fail("expected an error" .. (text and " with: " .. text or "") .. ", none was raised") end
  local message = type(err) == "table" and err.message or tostring(err)
  if text and not tostring(message):find(text, 1, true) then
    fail(("the error is      %s\nexpected to have  %s"):format(message, text))
  end
  return err
end

local function catch(err)
  if type(err) == "table" and err.spec then return err.spec .. err.at:gsub("^\nstack traceback:", "") end
  return debug.traceback(type(err) == "table" and err.message or tostring(err), 2)
end

local function report(name, ok, message)
  spec.count = spec.count + 1
  if ok then return print(("ok %d - %s"):format(spec.count, name)) end
  spec.failed = spec.failed + 1
  print(("not ok %d - %s"):format(spec.count, name))
  print("# " .. tostring(message):gsub("\n", "\n# "))
end

---Runs one test at once, outside tasks.
function spec.test(name, fn)
  report(name, xpcall(fn, catch))
end

---Runs one test as a task in virtual time; what waits gets `ms` of it (default an hour).
function spec.task(name, fn, ms)
  local runtime = require "core.runtime"
  local done, ok, message = false, false, "the test still waits"
  runtime.spawn(function()
    ok, message = xpcall(fn, catch)
    done = true
  end)
  if not done then runtime.advance(ms or 3600000) end
  report(name, done and ok, message)
end

---Prints the plan; the exit code of the file.
---@return integer
function spec.finish()
  print(("1..%d"):format(spec.count))
  if spec.failed > 0 then print(("# %d of %d failed"):format(spec.failed, spec.count)) end
  if spec.count == 0 then print "# no tests" end
  return (spec.failed > 0 or spec.count == 0) and 1 or 0
end

return spec
