-- SPDX-License-Identifier: MIT
local output = require "srvthreds.cli.output"
local services = require "srvthreds.cli.services"

local function run(call)
  local bootstrap = require "srvthreds.bootstrap"
  local profiles = require "srvthreds.profile"
  local stores = require "core.store"
  local runtime = require "core.runtime"
  local config, name = services.config(call), call.words[1] or "ef-detection"
  local profile = profiles.load(name, { folders = config.profiles, shipped = services.shipped() })
  local made, why = runtime.mkdirs(config.data)
  if not made then error({ message = why }, 0) end
  local store <close> = stores.open {
    url = config.store:gsub("DATA", function() return config.data end), queue = config.queue,
    dedup_keep = config["dedup.keep"], inbox_keep = config["inbox.keep"],
  }
  bootstrap.run(store, profile, { progress = output.say })
  store:close()
  output.say(("profile %s is loaded into %s"):format(name, config.data))
  return 0
end

return {
  name = "bootstrap", run = run, keys = { "data", "profiles", "store" },
  words = { { name = "PROFILE", optional = true, help = "a folder of run-profiles/; default: ef-detection" } },
  examples = {
    { "srvthreds bootstrap", "ef-detection into ./srvthreds-data" },
    { "srvthreds bootstrap dev --data /var/lib/srvthreds" },
  },
  about = [[
Loads a profile into the store: its patterns, participants, groups and agents. Does nothing if this very profile is
loaded already, so it may be run at every start. While an engine runs on the same data folder it is refused.]],
}
