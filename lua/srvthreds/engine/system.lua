-- SPDX-License-Identifier: MIT
-- Events for the system itself (thredId "SYSTEM"). The answer, its audit record and "this event is processed" are one commit;
-- those of one source are answered in their order.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local documents = require "srvthreds.agent.documents"
local events = require "srvthreds.engine.event"
local failure = require "srvthreds.engine.failure"
local ids = require "srvthreds.engine.ids"

local system = {}

local ADMIN = "admin" -- the role; and who sends with the administrator's token

-- Nobody but the holder of that token is called so where no participant is.
local function is_admin(self, id)
  if self.directory:is_participant(id) then return self.directory:has_role(id, ADMIN) end
  return id == ADMIN and not self.directory:service(id)
end

-- Which collections a list of tasks asks for, as far as it is one.
local function asked(tasks)
  local names, seen, count = json.array {}, {}, 0
  local function add(task)
    local params = json.kind(task) == "object" and task.params
    local name = json.kind(params) == "object" and params.type
    count = count + 1
    if type(name) == "string" and not seen[name] and #names < 16 then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for _, item in ipairs(json.kind(tasks) == "array" and tasks or {}) do
    if json.kind(item) == "array" then
      for _, task in ipairs(item) do add(task) end
    else
      add(item)
    end
  end
  return names, count
end

local function tasks_of(doc)
  local content = doc.content
  return json.kind(content) == "object" and content.tasks or nil
end

-- content.values and content.error of the answer.
local function query(self, tasks)
  if not tasks then return nil, { code = codes.missing, message = "dataControl has content.tasks, a list of tasks" } end
  if not self.records then return nil, { code = codes.server, message = "this process has no records to look at" } end
  local result, wrong = self.records:run(tasks)
  local values = result and (not wrong or wrong.done > 0) and { result = result } or nil
  return values, wrong and documents.error(wrong, result) or nil
end

local function data_control(self, doc)
  local names, count = asked(tasks_of(doc))
  local audit = { what = "dataControl", target = table.concat(names, ", "), tasks = count }
  if not is_admin(self, doc.source.id) then
    return nil, { code = codes.unauthorized, message = ("dataControl needs the role admin, which %s has not")
      :format(doc.source.id) }, audit
  end
  local values, wrong = query(self, tasks_of(doc))
  return values, wrong, audit
end

local CONTROLS = { ["org.wt.control.dataControl"] = data_control }

local function title(doc, wrong)
  if not wrong then return "SYSTEM Result" end
  return ("Failure processing Event %s : %s"):format(doc.id, wrong.message)
end

local function answer(self, doc, values, wrong)
  local e = events.outgoing {
    id = ids.system(self.key, doc.source.id, doc.id), time = runtime.now(), re = doc.id, thredId = "SYSTEM", causedBy = doc.id,
    data = { title = title(doc, wrong), content = { values = values, error = wrong } },
  }
  local people = { doc.source.id }
  local ok, body = pcall(json.encode, e)
  if not ok then -- an answer is no deeper than an event
    wrong = { code = codes.task, message = "the answer can't be sent: " .. tostring(body) }
    e.data = { title = title(doc, wrong), content = { error = wrong } }
    body = json.encode(e)
  end
  return { id = e.id, body = body, rec = { people = people }, inbox = people }
end

-- Participants are told, and who holds the administrator's token.
local function told(self, id)
  return not self.directory:service(id) and (self.directory:is_participant(id) or is_admin(self, id))
end

local function control(self, delivery, run)
  local doc = delivery.doc
  local values, wrong, audit = run(self, doc)
  if self:is_lost(delivery.epoch) then return end -- it comes again
  local list = told(self, doc.source.id) and { answer(self, doc, values, wrong) } or {}
  local err = wrong and { code = wrong.code, message = wrong.message }
  local outcome = wrong and "error" or "matched"
  audit.at, audit.who, audit.event, audit.error = runtime.now(), doc.source.id, doc.id, err
  self.store:audit(audit)
  self:settle(delivery, { outcome = outcome, rec = { agent = "SYSTEM", error = err }, events = list },
    self:after(delivery, outcome, list, { error = err }))
end

---Answers an event that is for the system.
function system.handle(self, delivery)
  local run = CONTROLS[delivery.doc.type]
  if not run then return failure.system(self, delivery) end
  local lock = self.store:lock("system\0" .. delivery.doc.source.id)
  local ok, e = xpcall(control, codes.traced, self, delivery, run)
  lock:release()
  if not ok then error(e, 0) end
end

return system
