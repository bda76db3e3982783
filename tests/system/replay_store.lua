-- SPDX-License-Identifier: MIT
-- Runs every thred of the store SRVTHREDS_STORE again from its rows and says what comes out otherwise; for harness.py,
-- by spec_runner.
local runtime = require "core.runtime"
local stores = require "core.store"
local replay = require "srvthreds.engine.replay"

local sum
runtime.spawn(function()
  local store = stores.open { url = "sqlite:" .. os.getenv "SRVTHREDS_STORE", queue = "local:" }
  sum = replay.new(store):all()
  store:close()
end)
runtime.advance(0)

for _, list in ipairs { sum.differences, sum.incomplete } do
  for _, r in ipairs(list) do print(replay.text(r)) end
end
print(("replayed threds=%d steps=%d events=%d accepted=%d differences=%d incomplete=%d"):format(sum.threds, sum.steps,
  sum.events, sum.accepted, #sum.differences, #sum.incomplete))
return #sum.differences + #sum.incomplete > 0 and 1 or 0
