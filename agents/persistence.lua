-- SPDX-License-Identifier: MIT
-- Reads and writes documents for patterns: an event's content.tasks, answered with content.values = {result = {…}}, or with
-- content.error that says which task failed and how many were done before it.

local agent = require "srvthreds.agent"
local docdb = require "srvthreds.docdb"

return agent.agent "org.wt.persistence" {
  name = "Persistence",
  on_event = function(event)
    local tasks = event.content and event.content.tasks
    if not tasks then return nil, { code = 4202, message = "an event for the persistence agent has content.tasks" } end
    return docdb.run(tasks, event)
  end,
}
