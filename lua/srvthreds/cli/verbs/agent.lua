-- SPDX-License-Identifier: MIT
local problem = require "srvthreds.cli.problem"
local services = require "srvthreds.cli.services"

-- -c KIND -i ID -c KIND -i ID …: each kind is followed by its id.
local function pairs_of(call)
  local found, kind = {}, nil
  for _, given in ipairs(call.order) do
    if given[1] == "kind" then
      if kind then problem.raise("missing", ("-c %s has no -i"):format(kind)) end
      kind = given[2]
    elseif given[1] == "id" then
      if not kind then problem.raise("missing", ("-i %s has no -c before it"):format(given[2])) end
      found[#found + 1], kind = { kind = kind, id = given[2] }, nil
    end
  end
  if kind then problem.raise("missing", ("-c %s has no -i"):format(kind)) end
  if not found[1] then problem.raise("missing", "agent needs -c KIND and -i ID") end
  return found
end

local function run(call)
  local wanted = pairs_of(call)
  problem.raise("refused", ("%s can't run as a process of its own: the embedded store belongs to one process"):format(
    wanted[1].kind), { hint = "`srvthreds engine` and `srvthreds dev` run the session agent and the profile's agents\n"
    .. "in their own process; separate processes come with the scale-out backends" })
end

return {
  name = "agent", run = run, keys = { "data", "health.port", "log.level" },
  flags = {
    { name = "kind", short = "c", value = "KIND", many = true, help = "session_agent, persistence_agent, or an agent's file" },
    { name = "id", short = "i", value = "ID", many = true, help = "its node id" },
    services.debug_flag,
  },
  examples = {
    { "srvthreds agent -c session_agent -i org.wt.session1" },
    { "srvthreds agent -c robot_agent -i org.wt.robot1 -c sensor_agent -i org.wt.sensor1", "two in one process" },
  },
  about = [[
Agents as a process of their own. It needs a store and a queue that processes can share; on embedded storage, the only
one of this version, it is refused, and the agents run inside `srvthreds engine` and `srvthreds dev`.]],
}
