-- SPDX-License-Identifier: MIT
-- A folder for one test, gone afterwards.
local runtime = require "core.runtime"

local temp = {}
temp.__index = temp

function temp.new()
  local path = os.tmpname()
  os.remove(path)
  assert(runtime.mkdirs(path))
  return setmetatable({ path = path }, temp)
end

---Writes a file, by replacing it, and the folders above it.
function temp:write(name, text)
  local path = self.path .. "/" .. name
  assert(runtime.mkdirs(path:match "^(.*)/[^/]*$"))
  assert(runtime.write_file(path, text))
  return path
end

function temp:remove(name) return os.remove(self.path .. "/" .. name) end

local function remove_all(path)
  for _, name in ipairs(runtime.list(path) or {}) do remove_all(path .. "/" .. name) end
  os.remove(path)
end

function temp:close() remove_all(self.path) end

return temp
