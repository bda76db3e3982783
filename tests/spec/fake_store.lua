-- SPDX-License-Identifier: MIT
-- The few functions of the store that patterns and profiles need, in memory.
local fake = {}
fake.__index = fake

function fake.new() return setmetatable({ metas = {}, rows = {}, active = {}, enabled = {}, puts = 0 }, fake) end

function fake:meta(key, value)
  if value ~= nil then self.metas[key] = value end
  return self.metas[key]
end

function fake:put_pattern(p)
  if self.broken then error({ code = 5000, message = "disk full" }, 0) end
  if p.files then self.puts = self.puts + 1 end
  self.rows[p.hash] = self.rows[p.hash] or { id = p.id, hash = p.hash, files = p.files, at = p.at }
  if p.activate then
    self.active[p.id] = p.hash
    self.enabled[p.id] = p.enabled ~= false
  end
end

function fake:pattern(hash) return self.rows[hash] end

local function sorted(t, by)
  table.sort(t, function(a, b) return a[by] < b[by] end)
  return t
end

function fake:patterns()
  local list = {}
  for _, row in pairs(self.rows) do list[#list + 1] = row end
  return sorted(list, "hash")
end

function fake:active_patterns()
  local list = {}
  for id, hash in pairs(self.active) do list[#list + 1] = { id = id, hash = hash, enabled = self.enabled[id] } end
  return sorted(list, "id")
end

function fake:active_files()
  local list = {}
  for _, hash in pairs(self.active) do
    for path, source in pairs(self.rows[hash].files) do list[#list + 1] = { hash = hash, path = path, source = source } end
  end
  return list
end

return fake
