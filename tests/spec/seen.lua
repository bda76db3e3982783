-- SPDX-License-Identifier: MIT
-- Everything that a script can reach, from the script's own side: names and kinds, through tables, metatables and the
-- methods of texts; and that none of it can be changed. The walk is source, to be run inside a sandbox.

local seen = {}

---Defines walk(list of { name, value }) → { "name kind", … } and attack(value), which raises if it could write.
seen.WALK = [[
local PROBE = "written by the walk"
local function attack(value, name)
  for what, write in pairs {
    ["an assignment"] = function() value[PROBE] = PROBE end,
    ["rawset"] = function() rawset(value, PROBE, PROBE) end,
    ["setmetatable"] = function() setmetatable(value, {}) end,
    ["table.insert"] = function() table.insert(value, PROBE) end,
    ["table.move"] = function() table.move({ PROBE }, 1, 1, 1, value) end,
    ["what pairs gives"] = function() local _, t = pairs(value) t[PROBE] = PROBE end,
    ["rawset on what pairs gives"] = function() local _, t = pairs(value) rawset(t, PROBE, PROBE) end,
    ["ipairs"] = function() local _, t = ipairs(value) t[PROBE] = PROBE end,
    ["os.time"] = function() value.year, value.month, value.day = 2000, 1, 1 end,
    ["table.sort"] = function() table.sort(value) rawset(value, PROBE, 1) end,
  } do
    if pcall(write) then error(("%s could be changed by %s"):format(name, what), 0) end
  end
end

local function walk(roots, open)
  local out, seen = {}, {}
  local function add(name, value)
    local kind = type(value)
    if value == null then kind = "null" end
    out[#out + 1] = name .. " " .. kind
    local mt = kind ~= "table" and kind ~= "function" and getmetatable(value)
    if mt then out[#out + 1] = name .. " metatable " .. type(mt) end
    if kind == "thread" or kind == "userdata" then error(name .. " is a " .. kind, 0) end
    if kind ~= "table" or seen[value] then return end
    seen[value] = true
    local meta = getmetatable(value)
    if type(meta) == "table" then add(name .. ".METATABLE", meta) end
    if not (open and open[name]) then attack(value, name) end
    for k, v in pairs(value) do
      if type(k) ~= "string" then error(name .. " has a key that is a " .. type(k), 0) end
      add(name .. "." .. k, v)
    end
  end
  for _, root in ipairs(roots) do add(root[1], root[2]) end
  for name, fn in pairs(string) do
    if ("x")[name] ~= fn then error("texts have another " .. name, 0) end
  end
  for _, name in ipairs { "dump", "__index", "metatable", "load", "execute" } do
    if ("x")[name] ~= nil then error("texts have " .. name, 0) end
  end
  table.sort(out)
  return out
end
]]

---The names that docs/sandbox.md lists under a heading ("" for those before the first), sorted.
---@param heading string
---@return string[]
function seen.listed(heading)
  local list, here = {}, ""
  for line in io.lines "docs/sandbox.md" do
    here = line:match "^## (.*)" or here
    local name, what = line:match "^| `([%w_.]+)` | (.*) |$"
    if name and here == heading then
      assert(#what > 1, name .. " is listed without a word about it")
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

return seen
