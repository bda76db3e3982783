-- SPDX-License-Identifier: MIT
-- For load tests: sends back what it gets, with a count; ends 5 minutes after its last event.
local p = require "srvthreds.pattern"

return p.pattern "Echo Test" {
  description = "Sends what it gets to whom the event says, counting",
  broadcast_allowed = true,

  p.reaction "echo" {
    expiry = { after = "5m", transition = "$terminate" },
    p.where { type = "org.wt.echo" } {
      on_true = function(_, thred) thred.echo_times = (thred.echo_times or 0) + 1 end,
      transform = {
        title = function(event, thred) return (event:value "echoTitle" or "Echo") .. " " .. thred.echo_times end,
        content = function(event) return event:value "echoContent" end,
      },
      publish = function(event) return event:value "echoTo" end,
      transition = "echo",
    },
  },
}
