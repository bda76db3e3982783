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

---Sets them, or raises and sets none. A level without a module holds for all that the text doesn't name; without one the
---others stay as they are.
---@param text string
function log_levels.set(text)
  local list = parse(text)
  for _, one in ipairs(list) do
    if not one.module then logs.reset(one.level) end
  end
  for _, one in ipairs(list) do
    if one.module then logs.level(one.module, one.level) end
  end
end

return log_levels
