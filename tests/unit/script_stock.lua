-- SPDX-License-Identifier: MIT
-- Our functions beside the stock ones, which trusted code still has.
local script = require "core.script"

local M = { compared = 0, failed = 0, ours = nil }
local env = script.environment { export = function(t) M.ours = t end }
assert(script.call({}, nil, assert(script.load([[
  local base = {}
  for _, name in ipairs { "assert", "error", "ipairs", "pcall", "rawequal", "rawget", "rawlen", "rawset", "select", "tonumber", "tostring",
    "type", "xpcall" } do base[name] = _ENV[name] end
  export { string = string, table = table, utf8 = utf8, math = math, _G = base }]], "@x", env))))

local function show(v)
  local kind = type(v)
  if kind == "string" then return ("%q"):format(v) end
  if kind == "number" then return math.type(v) == "float" and ("%a"):format(v) or ("%d"):format(v) end
  if kind == "table" then
    local parts, others, n = {}, {}, rawlen(v)
    for i = 1, n do parts[i] = show(rawget(v, i)) end
    for k, item in next, v do
      if not (math.type(k) == "integer" and k >= 1 and k <= n) then others[#others + 1] = show(k) .. "=" .. show(item) end
    end
    table.sort(others)
    return "{" .. table.concat(parts, ",") .. ";" .. table.concat(others, ",") .. "}"
  end
  return kind == "function" and kind or tostring(v)
end
M.show = show

-- Messages name the function only when it is found in the stock library: both sides lose the name. Ours show no addresses.
local function outcome(f, ...)
  local r = table.pack(pcall(f, ...))
  for i = 1, r.n do r[i] = show(r[i]) end
  return (table.concat(r, " ", 1, r.n):gsub("to '[%w.?]+' %(", "to f ("):gsub(": 0x%x+", ""))
end

-- Each side gets tables of its own, so what it did to them is compared too.
local function copy(v)
  if type(v) ~= "table" then return v end
  local mt, r = getmetatable(v), {}
  for k, item in next, v do r[k] = item end
  return mt and mt.again and mt.again(r) or setmetatable(r, mt)
end

local function run(f, arguments)
  local mine, changed = {}, {}
  for i = 1, arguments.n do mine[i] = copy(arguments[i]) end
  local result = outcome(f, table.unpack(mine, 1, arguments.n))
  for i = 1, arguments.n do
    if type(mine[i]) == "table" then
      local mt = getmetatable(mine[i])
      changed[#changed + 1] = mt and mt.seen and mt.seen() or not mt and show(mine[i]) or nil
    end
  end
  return result .. " | " .. table.concat(changed, " ")
end

-- Raises if the function `name` of the library `lib` does not do the same as the stock one; `via` calls it.
function M.same(lib, name, via, ...)
  local arguments = table.pack(...)
  local stock, ours = _G[lib][name], M.ours[lib][name]
  local results = {}
  for i, f in ipairs { stock, ours } do -- from one line: an error may name it
    results[i] = run(via and function(...) return via(f, ...) end or f, arguments)
  end
  local expected, got = results[1], results[2]
  M.compared = M.compared + 1
  if expected == got then return end
  for i = 1, arguments.n do arguments[i] = show(arguments[i]) end
  error(("%s.%s(%s)\n  stock %s\n  ours  %s"):format(lib, name, table.concat(arguments, ", ", 1, arguments.n), expected,
    got), 0)
end

return M
