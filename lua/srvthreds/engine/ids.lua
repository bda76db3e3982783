-- SPDX-License-Identifier: MIT
-- Ids that repeat when a step repeats, and that nobody can guess: keyed hashes (model §3).

local runtime = require "core.runtime"

local hmac = runtime.hmac
local ids = {}

function ids.started(key, pattern_id, source_id, event_id)
  return hmac(key, "thred", pattern_id, source_id, event_id)
end

---Spawned threds and outgoing events: the place in the step runs on across forward and local.
function ids.emitted(key, thred_id, step, position)
  return hmac(key, "step", thred_id, step, position)
end

function ids.failure(key, source_id, event_id, target)
  return hmac(key, "error", source_id, event_id, target or "")
end

---What the system answers.
function ids.system(key, source_id, event_id)
  return hmac(key, "system", source_id, event_id)
end

---What an agent sends while it handles a message.
function ids.answer(key, node_id, message_id, position)
  return hmac(key, "agent", node_id, message_id, position)
end

return ids
