-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local scripts = require "srvthreds.cli.scripts"

local id_word = { name = "ID", help = "of the agent, as `agents list` shows it" }
local keys = { "server", "engine.port", "data" }

local function list(call)
  local items = client.list(call, "/api/agents", {}, 1000)
  output.list(call.flags.output, {
    { "id" }, { "type" }, { "address" }, { "status" },
    { "used", title = "cpu", show = scripts.cpu, right = true }, { "used", title = "memory", show = scripts.memory, right = true },
    { "file" },
    { "paused", title = "problem", show = function(paused)
      return type(paused) == "table" and ("%s; %d messages wait"):format(paused.reason, paused.waiting) or ""
    end },
  }, items, "no agents")
  return 0
end

local function pause(call)
  local id = call.words[1]
  local go, code = listing.go_on(call, ("pause agent %s"):format(id))
  if not go then return code end
  client.admin(call, "POST", client.path("agents", id, "pause"), { body = { reason = call.flags.reason } })
  output.say(("agent %s is paused: its messages wait until srvthreds agents resume %s"):format(id, id))
  return 0
end

local function resume(call)
  local id = call.words[1]
  local go, code = listing.go_on(call, ("resume agent %s"):format(id))
  if not go then return code end
  local answer = client.admin(call, "POST", client.path("agents", id, "resume"))
  output.say(answer.changed and ("agent %s goes on; %d messages waited"):format(id, answer.waiting)
    or ("agent %s is not paused"):format(id))
  return 0
end

return {
  name = "agents",
  examples = {
    { "srvthreds agents list", "who runs, what it has used, who is paused and why" },
    { "srvthreds agents resume ID", "a paused agent goes on, with the messages that have waited" },
  },
  verbs = {
    { name = "agents list", line = "who runs, what it has used, who is paused and why", lists = true, run = list, keys = keys,
      examples = { { "srvthreds agents list" }, { "srvthreds agents list -o json" } } },
    { name = "agents pause", line = "none of its functions is called, its messages wait", run = pause, keys = keys,
      words = { id_word }, flags = { { name = "reason", value = "TEXT", help = "for those who look" }, listing.yes,
        listing.dry_run }, examples = { { "srvthreds agents pause ID" }, { 'srvthreds agents pause ID --reason "until Monday" --yes' } } },
    { name = "agents resume", line = "a paused agent goes on, with what has waited", run = resume, keys = keys,
      words = { id_word }, flags = { listing.yes, listing.dry_run }, examples = { { "srvthreds agents resume ID --yes" } } },
  },
}
