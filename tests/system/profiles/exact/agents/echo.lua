-- SPDX-License-Identifier: MIT
-- A service that answers each task with what it got.
local agent = require "srvthreds.agent"

return agent.agent "org.test.echo" {
  tasks = {
    echo = function(task)
      log("echoes", task.params.values.n)
      return { echoed = task.params.values.n }
    end,
  },
}
