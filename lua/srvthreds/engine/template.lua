-- SPDX-License-Identifier: MIT
-- A transform: a template whose function leaves are called, or one function that gives a template. A template is compiled
-- once: what has no function in it is used as it stands.

local json = require "core.json"

local template = {}

local function path_of(path, key)
  if type(key) == "number" then return ("%s[%d]"):format(path, key) end
  return path == "" and key or path .. "." .. key
end

local function is_list(t) return json.is_array(t) or #t > 0 end

local compile

-- Functions run in byte order of their keys; one that gives nil makes its key vanish.
local function compile_object(t, path)
  local keys, parts, plain = {}, {}, true
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  for i, k in ipairs(keys) do
    parts[i] = compile(t[k], path_of(path, k))
    plain = plain and not parts[i]
  end
  if plain then return nil end
  return function(step)
    local out = {}
    for i = 1, #keys do
      local k, part = keys[i], parts[i]
      if part then out[k] = part(step) else out[k] = t[k] end
    end
    return out
  end
end

local function compile_list(t, path)
  local parts, plain = {}, true
  for i, v in ipairs(t) do
    parts[i] = compile(v, path_of(path, i)) or false
    plain = plain and not parts[i]
  end
  if plain then return nil end
  return function(step)
    local out = json.array {}
    for i, part in ipairs(parts) do
      local v = t[i]
      if part then v = part(step) end
      if v == nil then
        step:fail("transform", ("the list item %s of the transform is nil: a list can't have holes; give p.null or leave it out")
          :format(path_of(path, i)))
      end
      out[i] = v
    end
    return out
  end
end

-- Gives a function that renders v, or nil where v is plain data.
function compile(v, path)
  if type(v) == "function" then
    local doing = path == "" and "transform" or "transform." .. path
    return function(step)
      if path ~= "" then return step:call(doing, v) end
      local value = step:call_plain(doing, v)
      if type(value) ~= "table" then return value end
      local inner = compile(value, path)
      return inner and inner(step) or value
    end
  end
  if type(v) ~= "table" then return nil end
  return is_list(v) and compile_list(v, path) or compile_object(v, path)
end

local compiled = setmetatable({}, { __mode = "k" })

---@param transform table|function
---@param step table its call runs a script function with (event, thred), its fail raises
---@return table rendered { title, description, display, advice, content, re }; top level is the caller's to change
function template.render(transform, step)
  local fn = compiled[transform]
  if fn == nil then
    fn = compile(transform, "") or false
    compiled[transform] = fn
  end
  local v = fn and fn(step) or transform
  if type(v) ~= "table" then
    if type(v) == "userdata" and json.kind(v) == "object" then return json.copy(v) end
    step:fail("transform", ("a transform gives a table {title=, description=, display=, advice=, content=, re=}, not a %s"):format(type(v)))
  end
  if v ~= transform and type(transform) ~= "function" then return v end
  local copy = {}
  for k, x in pairs(v) do copy[k] = x end
  return copy
end

return template
