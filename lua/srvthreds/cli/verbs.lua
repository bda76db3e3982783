-- SPDX-License-Identifier: MIT
-- Every verb, in the order of the help: name and one line. cli/verbs/NAME.lua does it.

---@type table[] { group } or { name, line }
local list = {
  { group = "Run it" },
  { name = "dev", line = "everything in one process: engine, agents, live reload" },
  { name = "engine", line = "the same as a service: no development tokens" },
  { name = "agent", line = "one or more agents: -c KIND -i ID" },
  { name = "bootstrap", line = "load a profile into the store" },

  { group = "Take part" },
  { name = "join", line = "be a participant at this terminal" },
  { name = "send", line = "send one event and see what became of it" },

  { group = "Write patterns" },
  { name = "new", line = "a project folder with a first pattern" },
  { name = "check", line = "read patterns and scripts and explain what is wrong" },
  { name = "explain", line = "what a code such as SRV-P012 means" },

  { group = "Look at a running system, and act on it" },
  { name = "watch", line = "follow what happens, live" },
  { name = "threds", line = "list, show, transition, terminate" },
  { name = "patterns", line = "list, show, enable, disable, pause, resume" },
  { name = "agents", line = "list, pause, resume" },
  { name = "dead", line = "dead letters: list, show, retry, drop" },

  { group = "The rest" },
  { name = "config", line = "show: each key, its value and where it came from" },
  { name = "doctor", line = "look for what is wrong here" },
  { name = "completion", line = "for bash, zsh or fish" },
  { name = "version", line = "of the program and its libraries" },
}

local verbs = { list = list, names = {} }
for _, verb in ipairs(list) do
  if verb.name then verbs.names[#verbs.names + 1] = verb.name end
end

---@param name string
---@return table? verb { name, words, flags, examples, about, run } or { name, verbs = { … } }
function verbs.load(name)
  for _, known in ipairs(verbs.names) do
    if known == name then return require("srvthreds.cli.verbs." .. name) end
  end
end

return verbs
