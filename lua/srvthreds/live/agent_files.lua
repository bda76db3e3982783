-- SPDX-License-Identifier: MIT
-- The files of agents: a changed one is given to who runs it, which compiles it first and keeps the old one if it is
-- bad.

local runtime = require "core.runtime"

local agent_files = {}
agent_files.__index = agent_files

---@param agents { reload: fun(self, file: string, source: string): boolean?, string? }? true: reloaded, false: it runs
---  no such file, nil and text: what is wrong with it
---@param folders string[]
function agent_files.new(agents, folders, log)
  return setmetatable({ agents = agents, folders = agents and folders or {}, log = log, sources = {} }, agent_files)
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
    self.log.error(("%s can't be used; the agent goes on as it was\n%s"):format(path, text))
  elseif reloaded then
    self.log.info("agent reloaded", { file = path })
  end
end

---Gives away what has changed.
function agent_files:look()
  each(self, function(path, source)
    if self.sources[path] == source then return end
    self.sources[path] = source
    reload(self, path, source)
  end)
end

return agent_files
