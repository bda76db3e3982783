-- SPDX-License-Identifier: MIT
-- The functions of the pattern language that depend on the running step: p.now(), p.id(thred) and their like.

local script = require "core.script"
local codes = require "srvthreds.engine.codes"
local json = require "core.json"

local host = {}

local function step()
  local s = script.context()
  if not s.state then error("this works only while a thred takes a step, not while the file loads", 3) end
  return s
end

function host.now() return step().now end

function host.id(_) return step().id end

function host.reaction_of(_) return step().state.reaction end

function host.participants(_) return json.view(step().state.participants) end

function host.step(_) return step().number end

---Ends the step with an error event of this code.
function host.fail(code, message)
  local kind = type(message)
  local text = (kind == "string" or kind == "number") and tostring(message) or "no message: it is a " .. kind
  error(codes.error(math.type(code) == "integer" and code or codes.server, text, { deliberate = true }), 0)
end

return host
