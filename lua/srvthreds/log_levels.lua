-- SPDX-License-Identifier: MIT
-- Which lines are logged, as text: "info,store=debug" is info, and debug for the module store.

local logs = require "core.log"
local codes = require "srvthreds.engine.codes"

local log_levels = {}

local LEVELS = { debug = true, info = true, warn = true, error = true }

local function parse(text)
  local list = {}
  for part in text:gmatch "[^,]+" do
    local module, level = part:match "^%s*([%w_]+)=(%a+)%s*$"
    level = level or part:match "^%s*(.-)%s*$"
    if not LEVELS[level] then
      error(codes.error(codes.argument, ("log level \"%s\": expected debug, info, warn or error, or module=level"):format(level)), 0)
    end
    list[#list + 1] = { module = module, level = level }
  end
  return list
end

---Sets all of them, or raises and sets none.
---@param text string
function log_levels.set(text)
  for _, one in ipairs(parse(text)) do logs.level(one.module, one.level) end
end

return log_levels
