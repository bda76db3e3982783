-- SPDX-License-Identifier: MIT
-- What an agent's file sees as `require "srvthreds.docdb"`: the document database, with the event as the mark, so that a
-- message that comes again after a crash writes nothing twice.

local script = require "core.script"
local codes = require "srvthreds.engine.codes"

local documents = {}

-- tasks[2][0] "name": counted from 0, as the places in messages are.
local function which(failure)
  if not failure.item then return "tasks" end
  local place = ("tasks[%d]%s"):format(failure.item, failure.inner and ("[%d]"):format(failure.inner) or "")
  return failure.name and ("%s %q"):format(place, failure.name) or place
end

---A failure of core.docdb -> the error of the answer. What was refused before anything was done keeps its code; a task
---that failed is 5200, and the cause says which and why.
---@param failure table
---@param result table|nil what was done before
function documents.error(failure, result)
  local task = { index = failure.item, inner = failure.inner, name = failure.name, code = failure.code }
  if not result then
    return { code = failure.code, message = failure.message, cause = which(failure), task = task, done = 0 }
  end
  return {
    code = failure.code == codes.server and codes.server or codes.task,
    message = ("task failed, %d done before it"):format(failure.done),
    cause = ("%s: %s"):format(which(failure), failure.message), task = task, done = failure.done,
  }
end

---@param db table core.docdb
---@param node_id string
---@return table for `require "srvthreds.docdb"` of the agent
function documents.face(db, node_id)
  return script.freeze({
    ---Runs tasks; the event is the one that asks for them.
    ---@return table|nil values { result = { … } } of what was done, table|nil error
    run = script.trusted(function(tasks, event)
      local mark = event and ("%s\0%s\0%s"):format(node_id, event.source and event.source.id or "", event.id)
      local result, failure = db:run(tasks, { mark = mark })
      if not failure then return { result = result } end
      return result and failure.done > 0 and { result = result } or nil, documents.error(failure, result)
    end),
  }, "srvthreds.docdb")
end

return documents
