-- SPDX-License-Identifier: MIT
-- The files of agents, and of scripts for documents: a changed one is given to who runs it, which compiles it first and
-- keeps the old one if it is bad.

local runtime = require "core.runtime"

local agent_files = {}
agent_files.__index = agent_files

---@param agents { reload: fun(self, file: string, source: string): boolean?, string?; remove: fun(self, file: string)? }?
---  reload: true: reloaded, false: it runs no such file, nil and text: what is wrong with it; remove: a file is gone
---@param folders string[]
---@param what string what a file is, for the log
function agent_files.new(agents, folders, log, what)
  return setmetatable({
    agents = agents, folders = agents and folders or {}, log = log, what = what, sources = {}, missing = {},
  }, agent_files)
end

local function each(self, fn)
  for _, folder in ipairs(self.folders) do
    for _, name in ipairs(runtime.list(folder) or {}) do
      if name:match "^[^.].*%.lua$" and not name:match "_test%.lua$" then
        local path = folder .. "/" .. name
        local source = runtime.read_file(path)
        if source then fn(path, source) end
      end
    end
  end
end

---What is there now runs already.
function agent_files:start()
  each(self, function(path, source) self.sources[path] = source end)
end

local function reload(self, path, source)
  local ok, reloaded, problem = pcall(self.agents.reload, self.agents, path, source)
  if not ok or reloaded == nil then
    local text = tostring(ok and problem or reloaded)
    self.log.error(("%s can't be used; the %s goes on as it was\n%s"):format(path, self.what, text))
  elseif reloaded then
    self.log.info(self.what .. " reloaded", { file = path })
  end
end

-- What is missing twice is gone: an editor may be in the middle of replacing it.
local function look_for_missing(self, seen)
  local again = false
  for path in pairs(self.sources) do
    local before = self.missing[path]
    self.missing[path] = not seen[path] or nil
    if not seen[path] and before then
      self.sources[path], self.missing[path] = nil, nil
      self.agents:remove(path)
      self.log.info(self.what .. " gone", { file = path })
    end
    again = again or self.missing[path] ~= nil
  end
  return again
end

---Gives away what has changed.
---@return boolean again something has to be looked at once more, soon
function agent_files:look()
  local seen = {}
  each(self, function(path, source)
    seen[path] = true
    if self.sources[path] == source then return end
    self.sources[path] = source
    reload(self, path, source)
  end)
  return self.agents ~= nil and self.agents.remove ~= nil and look_for_missing(self, seen)
end

return agent_files
