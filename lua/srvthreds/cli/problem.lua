-- SPDX-License-Identifier: MIT
-- An error that a person gets to read: message, nearest name, what to do, stable code, exit code.
local codes = require "srvthreds.cli.codes"

---@class srvthreds.cli.Problem
---@field name string in codes.lua
---@field code string
---@field exit integer
---@field message string
---@field nearest string?
---@field hint string? what to do
local Problem = { __name = "srvthreds.cli.problem" }
Problem.__index = Problem

function Problem:__tostring()
  local out = { ("srvthreds: %s [%s]"):format(self.message, self.code) }
  if self.nearest then out[#out + 1] = ("  did you mean `%s`?"):format(self.nearest) end
  if self.hint then out[#out + 1] = "  " .. self.hint:gsub("\n", "\n  ") end
  return table.concat(out, "\n")
end

local problem = {}

---@param name string of cli/codes.lua
---@param message string
---@param more table? { nearest =, hint = }
---@return srvthreds.cli.Problem
function problem.new(name, message, more)
  local entry = assert(codes.by_name[name], name)
  return setmetatable({ name = name, code = entry.code, exit = entry.exit, message = message,
    nearest = more and more.nearest, hint = more and more.hint }, Problem)
end

---Raises it.
function problem.raise(name, message, more)
  error(problem.new(name, message, more), 0)
end

---@return boolean
function problem.is(value)
  return getmetatable(value) == Problem
end

return problem
