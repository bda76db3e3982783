-- SPDX-License-Identifier: MIT
-- Scripts that go over their budget again and again: when was it too often?

local runtime = require "core.runtime"

local BUDGETS = { cpu = true, wall = true, memory = true, stack = true } -- kinds of error: which limit was exceeded

local overruns = {}
overruns.__index = overruns

---@param options { after: integer, within: integer } so many within so many ms; after = 0: never
function overruns.new(options) return setmetatable({ options = options, recent = {} }, overruns) end

---A step or a message failed.
---@param id string whose script it was
---@param err table with its `version`, `kind` and `message`
---@return string? reason it was too often
function overruns:note(id, err)
  local options = self.options
  if not BUDGETS[err.kind] then return nil end
  local recent, now = self.recent[id], runtime.now()
  if not recent or recent.version ~= err.version then recent = { version = err.version } end
  self.recent[id] = recent
  recent[#recent + 1] = now
  if #recent > options.after then table.remove(recent, 1) end
  if options.after == 0 or #recent < options.after or now - recent[1] > options.within then return nil end
  return ("its scripts went over their budget %d times within %d s, last: %s")
    :format(options.after, math.max(1, (now - recent[1]) // 1000), err.message)
end

---It begins anew.
function overruns:forget(id) self.recent[id] = nil end

return overruns
