-- SPDX-License-Identifier: MIT
-- Runs the cases of docdb_run.json against the database of a URL. A case: documents of the collection c, the source of the
-- script x, tasks (where "x" stands for a task that runs it), and what has to come of them: `expect`, or `error` = [code,
-- text], and `after`, what the collection holds then. `again`: the same once more under the same mark gives the same.

local docdb = require "core.docdb"
local json = require "core.json"
local runtime = require "core.runtime"
local scripts = require "srvthreds.agent.scripts"

local url = ...
local LEAST = 25
local db = docdb.open { hosts = { { name = "main", url = url } }, databases = { "test", "other" }, timeout = 20000 }
local all = scripts.new { docdb = db }
local count, failed, marks = 0, 0, runtime.ticks()

local function plain(value)
  value = json.copy(value)
  local function strip(v)
    if type(v) ~= "table" then return end
    v.created, v.modified = nil, nil
    for _, inner in pairs(v) do strip(inner) end
  end
  strip(value)
  return json.encode(value)
end

local function done(tasks, options)
  local result, e = db:run(tasks, options)
  if e then error(e, 0) end
  return result
end

-- "x", also in a list, is the task that runs the script.
local function tasks_of(case, list)
  local tasks = json.array {}
  for i, task in ipairs(list) do
    if task == "x" then
      tasks[i] = { op = "run", params = { type = "c", values = { script = "x", args = case.args } } }
    elseif task.op then
      task.params.type = task.params.type or "c"
      tasks[i] = task
    else
      tasks[i] = tasks_of(case, task)
    end
  end
  return tasks
end

-- nil, or what is wrong.
local function outcome(case, tasks, mark)
  local result, e = db:run(tasks, { mark = mark })
  if case.error then
    if not e then return "no error, but " .. json.encode(result) end
    if e.code == case.error[1] and e.message:find(case.error[2], 1, true) then return nil end
    return ("%d %s, expected %d … %s"):format(e.code, e.message, case.error[1], case.error[2])
  end
  if e then return ("%d %s"):format(e.code, e.message) end
  local found, expected = plain(result), plain(case.expect)
  if found ~= expected then return ("%s, expected %s"):format(found, expected) end
end

local function run(case)
  for _, name in ipairs { "c", "d" } do done { { op = "delete", params = { type = name, matcher = {} } } } end
  if case.docs[1] then done { { op = "put", params = { type = "c", values = case.docs } } } end
  local loaded, wrong = all:reload("scripts/x.lua", case.script .. "\n-- " .. case.case)
  if not loaded then return wrong end
  marks = marks + 1
  local tasks = tasks_of(case, case.tasks or { "x" })
  wrong = outcome(case, tasks, "case " .. marks)
  if not wrong and case.again then wrong = outcome(case, tasks, "case " .. marks) end
  if wrong then return wrong end
  local after = plain(done { { op = "get", params = { type = "c", matcher = {}, collector = { sort = { { field = "id" } } } } } }[1])
  local expected = plain(case.after or case.docs)
  if after ~= expected then return ("after: %s, expected %s"):format(after, expected) end
end

for _, case in ipairs(json.copy(json.decode(assert(runtime.read_file "tests/conformance/docdb_run.json")))) do
  local wrong = run(case)
  count, failed = count + 1, failed + (wrong and 1 or 0)
  if wrong then print(("FAILED %s\n  %s"):format(case.case, wrong)) end
end
print(("%s %d cases with scripts, %d failed"):format(url, count, failed))
db:close()
runtime.stop((failed > 0 or count < LEAST) and 1 or 0)
