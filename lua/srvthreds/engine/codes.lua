-- SPDX-License-Identifier: MIT
-- The error codes of the model (core/base/base.h has the same list for C) and the table that errors are.

local codes = {
  server = 5000, task = 5200, not_found = 5201, exists = 5202, no_thred = 5203,
  client = 4000, unauthorized = 4101, login = 4102, argument = 4200, missing = 4202,
}

-- Closed: scripts catch such errors, too.
local mt = { __name = "srvthreds.error", __metatable = "srvthreds.error",
  __tostring = function(e)
    local message = rawget(e, "message")
    return type(message) == "string" and message or "error without a message"
  end }

---An error that keeps its code from where it is raised to where it is told.
---@param code integer
---@param message string what was attempted, on what, what to do
---@param fields table? where it happened: pattern, reaction, file, line, cause
function codes.error(code, message, fields)
  local e = { code = code, message = message }
  for k, v in pairs(fields or {}) do e[k] = v end
  return setmetatable(e, mt)
end

local BEGIN, END = 1200, 600 -- bytes of a longer message that are kept

---A script's text as a message may hold it: UTF-8, and not endless.
---@param text string
function codes.text(text)
  local known = #text <= 1 << 16 and utf8.len(text)
  if not known then text = text:gsub("[\128-\255]", "?") end
  if #text <= BEGIN + END then return text end
  return text:sub(1, utf8.offset(text, 0, BEGIN) - 1) .. "…" .. text:sub(utf8.offset(text, 0, #text - END))
end

---What a script raised, read without running its metamethods.
---@param value any
---@return integer|nil code, string|nil message, boolean deliberate raised by p.fail
function codes.raised(value)
  if type(value) ~= "table" then return nil, nil, false end
  local code, message = rawget(value, "code"), rawget(value, "message")
  return math.type(code) == "integer" and code or nil, type(message) == "string" and message or nil,
    rawget(value, "deliberate") == true
end

---Whatever was raised, as an error table.
function codes.of(raised, fields)
  if type(raised) == "table" and raised.message then
    for k, v in pairs(fields or {}) do
      if raised[k] == nil then raised[k] = v end
    end
    raised.code = raised.code or codes.server
    return raised
  end
  return codes.error(codes.server, tostring(raised), fields)
end

---For xpcall: an error that nobody meant to raise keeps where it was.
function codes.traced(raised)
  if type(raised) == "table" then return raised end
  return codes.error(codes.server, tostring(raised), { trace = debug.traceback("", 2) })
end

return codes
