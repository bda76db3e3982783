-- SPDX-License-Identifier: MIT
-- Watches a changing set of folders. A folder may be made, moved away or replaced while it is watched: its parent is
-- looked at too, and every look begins with watching again, so that nothing falls between.

local runtime = require "core.runtime"

local watcher = {}
watcher.__index = watcher

---@param changed fun() called as a task when something may have changed
---@param log table
function watcher.new(changed, log)
  return setmetatable({ changed = changed, log = log, open = {}, roots = {}, complained = {} }, watcher)
end

local function parent_of(path)
  local p = path:gsub("/+$", ""):match "^(.*)/[^/]*$"
  if p == "" then return "/" end
  return p or "."
end

local function watch(self, path, fn, into)
  if into[path] then return end
  local w, e = runtime.watch(path, fn)
  into[path] = w
  if not w and not self.complained[path] then
    self.complained[path] = true
    self.log.warn("a folder can't be watched: its changes are seen at the next start only", { err = e, path = path })
  end
end

-- In the parent only the folder's coming, going or being another one counts: it may be a busy folder.
local function look_at_root(self, root)
  local real = runtime.real_path(root)
  if self.roots[root] ~= (real or false) then self.changed() end
end

---Watches these folders from now on, and whether `roots` come and go.
---@param roots string[]
---@param folders string[] those that exist
function watcher:watch(roots, folders)
  local open = {}
  for _, path in ipairs(folders) do watch(self, path, self.changed, open) end
  for _, root in ipairs(roots) do
    self.roots[root] = runtime.real_path(root) or false
    local parent = parent_of(root)
    if runtime.stat(parent) then
      watch(self, parent, function()
        for _, r in ipairs(roots) do look_at_root(self, r) end
      end, open)
    end
  end
  local old = self.open
  self.open = open
  for _, w in pairs(old) do w:close() end
end

function watcher:close()
  for _, w in pairs(self.open) do w:close() end
  self.open = {}
end

return watcher
