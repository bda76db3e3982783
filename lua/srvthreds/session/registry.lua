-- SPDX-License-Identifier: MIT
-- Who is connected. A participant may have many sessions; each gets every message.

local registry = {}
registry.__index = registry

function registry.new(directory)
  return setmetatable({ of = {}, directory = directory, count = 0 }, registry)
end

function registry:add(session)
  local list = self.of[session.participant]
  if not list then
    list = {}
    self.of[session.participant] = list
  end
  list[#list + 1] = session
  self.count = self.count + 1
  self.directory:connect(session.participant, 1)
end

function registry:remove(session)
  local list = self.of[session.participant]
  for i, s in ipairs(list or {}) do
    if s == session then
      table.remove(list, i)
      if #list == 0 then self.of[session.participant] = nil end
      self.count = self.count - 1
      self.directory:connect(session.participant, -1)
      return
    end
  end
end

---Bytes that wait for the readers of all sessions.
function registry:queued()
  local bytes = 0
  for _, list in pairs(self.of) do
    for _, session in ipairs(list) do bytes = bytes + session.ws:queued() end
  end
  return bytes
end

---A new entry of the participant's inbox, already durable.
function registry:push(participant, event_id, bytes)
  for _, session in ipairs(self.of[participant] or {}) do session:push(event_id, bytes) end
end

return registry
