-- SPDX-License-Identifier: MIT
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local services = require "srvthreds.cli.services"

local function run(call)
  local bootstrap = require "srvthreds.bootstrap"
  local profiles = require "srvthreds.profile"
  local stores = require "core.store"
  local runtime = require "core.runtime"
  local config, name = services.config(call), call.words[1] or "ef-detection"
  if call.flags.reset then
    local go, code = listing.go_on(call, ("set everything of profile %s back to its files"):format(name))
    if not go then return code end
  end
  local profile = profiles.load(name, { folders = config.profiles, agents = config.agents,
    shipped = services.shipped() })
  local made, why = runtime.mkdirs(config.data)
  if not made then error({ message = why }, 0) end
  local store = stores.open {
    url = (config.store:gsub("DATA", function() return config.data end)), queue = config.queue,
    dedup_keep = config["dedup.keep"], inbox_keep = config["inbox.keep"],
  }
  local db = services.documents(config)
  local ok, result = pcall(bootstrap.run, store, profile, { reset = call.flags.reset, db = db })
  db:close()
  store:close()
  if not ok then error(result, 0) end
  if not result.done then
    output.say(("profile %s is loaded already, nothing was done"):format(name))
    return 0
  end
  output.say(("profile %s is loaded into %s: %d patterns new or changed, %d participants, %d groups"):format(name,
    config.data, #result.patterns, result.participants, result.groups))
  return 0
end

return {
  name = "bootstrap", run = run, keys = { "data", "profiles", "store" },
  words = { { name = "PROFILE", optional = true, help = "a folder of run-profiles/; default: ef-detection" } },
  flags = { { name = "reset", help = "also what was rolled back or turned off since; asks first" }, listing.yes },
  examples = {
    { "srvthreds bootstrap", "ef-detection into ./srvthreds-data" },
    { "srvthreds bootstrap dev --data /var/lib/srvthreds" },
  },
  about = [[
Loads a profile into the store: its patterns, participants, groups and agents. Does nothing if this very profile is
loaded already, so it may be run at every start. While an engine runs on the same data folder it is refused.]],
}
