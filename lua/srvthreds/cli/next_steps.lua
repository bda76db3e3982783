-- SPDX-License-Identifier: MIT
-- What a person at a terminal can try once `srvthreds dev` is ready, with the flags that it needs to find this system.
local config = require "srvthreds.config"
local output = require "srvthreds.cli.output"
local runtime = require "core.runtime"

local next_steps = {}

-- As it was typed: build/srvthreds, or srvthreds when it is in PATH.
local function program()
  return (runtime.read_file("/proc/self/cmdline") or ""):match("^[^%z]+") or "srvthreds"
end

-- Other terminals see files and the environment, but not these flags; a port of 0 became another one.
local function flags_for(call, ports, keys)
  local out = {}
  for _, key in ipairs(keys) do
    local value = ports[key] or call.config.values[key]
    local default = config.by_key[key].default
    local hidden = call.config.sources[key]:find("^flag") or ports[key] and ports[key] ~= call.config.values[key]
    if hidden and value ~= default then out[#out + 1] = ("--%s %s"):format(config.flag_of(key), value) end
  end
  return out[1] and " " .. table.concat(out, " ") or ""
end

local function people(service)
  local names = {}
  for name, person in pairs(service.profile and service.profile.participants or {}) do
    local is_admin = false
    for _, role in ipairs(person.roles or {}) do is_admin = is_admin or role == "admin" end
    if not is_admin then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

---@param call srvthreds.cli.Call
---@param service table what service.run gave: ports, profile
---@return string[] commands
function next_steps.commands(call, service)
  local ports = { ["engine.port"] = service.ports.engine, ["session.port"] = service.ports.session,
    ["session.http_port"] = service.ports.session_http }
  local name, who, out = program(), people(service), {}
  for i = 1, math.min(2, #who) do
    out[#out + 1] = ("%s join %s%s"):format(name, who[i], flags_for(call, ports, { "session.port" }))
  end
  out[#out + 1] = ("%s watch%s"):format(name, flags_for(call, ports, { "engine.port", "data" }))
  if not who[1] then
    out[#out + 1] = ("%s patterns list%s"):format(name, flags_for(call, ports, { "engine.port", "data" }))
  end
  return out
end

---Says them on stderr, where a person reads the log.
function next_steps.say(call, service)
  if not runtime.isatty(2) then return end
  runtime.sleep(30) -- the log's thread writes the ready line first
  output.say("\nTry next, each in a terminal of its own:\n  " .. table.concat(next_steps.commands(call, service), "\n  ") .. "\n")
end

return next_steps
