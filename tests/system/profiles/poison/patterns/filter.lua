-- SPDX-License-Identifier: MIT
-- Fails while it is asked whether it wants an event, before there is a thred.
local p = require "srvthreds.pattern"

return p.pattern "Filter" {
  p.reaction "ask" {
    p.filter(function(event)
      while event.type == "bad.filter" do end -- BAD filter
      return false
    end) {},
  },
}
