-- SPDX-License-Identifier: MIT
-- What an agent's file sees as `require "srvthreds.docdb"`: the document database, with the event as the mark, so that a
-- message that comes again after a crash writes nothing twice.

local json = require "core.json"
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
    message = ("a task failed, %d done before it"):format(failure.done),
    cause = ("%d %s: %s"):format(failure.code, which(failure), failure.message), task = task, done = failure.done,
  }
end

local LIMITS = { depth = 1000, size = 1 << 28 }

-- By it a call is known when its message comes again; calls for one message are told apart by their order.
local function mark_of(node, event)
  if not event then return nil end
  local mark, context = ("%s\0%s\0%s"):format(node.id, event.source and event.source.id or "", event.id), script.context()
  context.marks = context.marks or {}
  local n = (context.marks[mark] or 0) + 1
  context.marks[mark] = n
  return n == 1 and mark or ("%s\0%d"):format(mark, n)
end

---@param node table the agent's: { id, runner = { docdb = core.docdb's, or nil } }
---@return table what `require "srvthreds.docdb"` gives
function documents.face(node)
  return script.freeze({
    ---Runs tasks; the event is the one that asks for them.
    ---@return table|nil values { result = { … } } of what was done, table|nil error
    run = script.trusted(function(tasks, event)
      local db = node.runner.docdb
      if not db then return nil, { code = codes.server, message = "this process has no document database" } end
      local result, failure = db:run(tasks, { mark = mark_of(node, event) })
      local values
      if result and (not failure or failure.done > 0) then
        values = json.doc('{"result":' .. json.bytes(result) .. "}", nil, LIMITS)
      end
      return values, failure and documents.error(failure, result) or nil
    end),
  }, "srvthreds.docdb")
end

return documents
