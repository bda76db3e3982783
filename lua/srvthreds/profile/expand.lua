-- SPDX-License-Identifier: MIT
-- ${VAR} and ${VAR||default} inside any string of a configuration, from the environment. An empty variable counts as
-- unset; without a default that gives "".

local function text(s, getenv)
  return (s:gsub("%${([^}|]*)|?|?([^}]*)}", function(name, default)
    local v = getenv(name)
    return v and v ~= "" and v or default
  end))
end

local function expand(v, getenv, seen)
  if type(v) == "string" then return text(v, getenv) end
  if type(v) ~= "table" or seen[v] then return v end
  seen[v] = true
  for k, item in pairs(v) do v[k] = expand(item, getenv, seen) end
  return v
end

---Expands in place; returns the value.
---@param v any
---@param getenv (fun(name: string): string?)? default os.getenv
return function(v, getenv) return expand(v, getenv or os.getenv, {}) end
