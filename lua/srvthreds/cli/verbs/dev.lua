-- SPDX-License-Identifier: MIT
local next_steps = require "srvthreds.cli.next_steps"
local services = require "srvthreds.cli.services"

local function run(call)
  local service = services.run(call, { services = { "engine", "session", "agents" }, dev = true,
    profile = call.words[1], default_profile = "ef-detection" })
  next_steps.say(call, service)
end

return {
  name = "dev", run = run, keys = services.keys, flags = { services.debug_flag },
  words = { { name = "PROFILE", optional = true,
    help = "a folder of run-profiles/; default: the one in the store, or ef-detection in a new one" } },
  examples = {
    { "srvthreds dev", "the ef-detection example, data in ./srvthreds-data" },
    { "srvthreds dev --patterns ./patterns", "and your own patterns; save one, and it runs" },
    { "srvthreds dev dev --data /tmp/try", "the empty profile `dev`, data elsewhere" },
  },
  about = [[
Everything in one process on embedded storage: the engine, the session agent (WebSocket and HTTP), all agents of the
profile, live reload. While it listens on loopback only, a participant's id is accepted as its token. Ctrl-C stops it;
the data stays, and the next start goes on where it was.]],
}
