-- SPDX-License-Identifier: MIT
local services = require "srvthreds.cli.services"

local function run(call)
  services.run(call, { services = { "engine", "session", "agents" }, dev = false, profile = call.flags.profile })
end

return {
  name = "engine", run = run, keys = services.keys,
  flags = { services.debug_flag, { name = "profile", value = "PROFILE", help = "load it first, as `bootstrap` does" } },
  examples = {
    { "srvthreds engine --data /var/lib/srvthreds", "on a store that `srvthreds bootstrap` has filled" },
    { "srvthreds engine -d", "with debug logs" },
  },
  about = [[
The engine as a service, with the session agent and the agents of the profile in the same process: on embedded storage
one process holds the data folder. Unlike `dev` it takes no participant's id as a token unless auth.dev_tokens says so.
SIGTERM drains and ends with 0.]],
}
