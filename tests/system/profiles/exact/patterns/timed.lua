-- SPDX-License-Identifier: MIT
-- Spawned; expires once and tells so once.
local p = require "srvthreds.pattern"

return p.pattern "Timed" {
  limits = { wall = "60s" }, -- a busy machine ends none
  p.reaction "wait" {
    expiry = { after = "300ms", transition = "over" },
    p.where { type = "test.never" } {},
  },
  p.reaction "over" {
    p.where { type = "test.never" } { transition = "$terminate" },
  },
}
