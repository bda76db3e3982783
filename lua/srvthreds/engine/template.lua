-- SPDX-License-Identifier: MIT
-- A transform: a template whose function leaves are called, or one function that gives a template.

local json = require "core.json"

local template = {}

local function path_of(path, key)
  if type(key) == "number" then return ("%s[%d]"):format(path, key) end
  return path == "" and key or path .. "." .. key
end

local render

local function render_object(t, path, r)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys) -- functions run in byte order of their keys
  local out = {}
  for _, k in ipairs(keys) do out[k] = render(t[k], path_of(path, k), r) end
  return out
end

local function render_list(t, path, r)
  local out = {}
  for i, item in ipairs(t) do
    local v = render(item, path_of(path, i), r)
    if v == nil then
      r.fail(("the list item %s of the transform is nil: a list can't have holes; give p.null or leave it out")
        :format(path_of(path, i)))
    end
    out[i] = v
  end
  return json.array(out)
end

function render(v, path, r)
  if type(v) == "function" then return render(r.call(v, path), path, r) end
  if type(v) ~= "table" then return v end
  if json.is_array(v) or #v > 0 then return render_list(v, path, r) end
  return render_object(v, path, r)
end

---@param transform table|function
---@param call function(fn, path) runs a script function with (event, thred)
---@param fail function(message)
---@return table rendered { title, description, display, advice, content, re }
function template.render(transform, call, fail)
  local v = render(transform, "", { call = call, fail = fail })
  if type(v) == "userdata" then v = json.copy(v) end
  if type(v) ~= "table" then
    fail(("a transform gives a table {title=, description=, display=, advice=, content=, re=}, not a %s"):format(type(v)))
  end
  return v
end

return template
