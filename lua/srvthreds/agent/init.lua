-- SPDX-License-Identifier: MIT
-- What an agent's file sees as `require "srvthreds.agent"`: one constructor that checks what it is given.

local agent = {}

local KEYS = { address = "string", tasks = "table", on_event = "function", every = "table", name = "string", limits = "table" }

local function nearest(key)
  local best
  for known in pairs(KEYS) do
    if known:sub(1, 2) == key:sub(1, 2) then best = known end
  end
  return best and (" (did you mean %s?)"):format(best) or ""
end

local function word_of(key) return type(key) == "string" and key or "a " .. type(key) end

local function check_every(every)
  if type(every[1]) ~= "string" and type(every[1]) ~= "number" or type(every[2]) ~= "function" then
    error('every = { "5s", function(a) ... end, first = "2s" }: an interval and a function', 3)
  end
end

---@param node_type string
function agent.agent(node_type)
  if type(node_type) ~= "string" or node_type == "" then error('agent.agent takes its type, as in agent.agent "org.wt.robot" { … }', 2) end
  return function(spec)
    if type(spec) ~= "table" then error(("agent %s: expected a table of what it does"):format(node_type), 2) end
    for key, value in pairs(spec) do
      local want = KEYS[key]
      if not want then error(("agent %s: unknown key %q%s"):format(node_type, word_of(key), nearest(word_of(key))), 2) end
      if type(value) ~= want then error(("agent %s: %s is a %s, not a %s"):format(node_type, key, want, type(value)), 2) end
    end
    if spec.every then check_every(spec.every) end
    spec.type = node_type
    return spec
  end
end

return agent
