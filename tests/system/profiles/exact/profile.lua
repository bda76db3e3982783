-- SPDX-License-Identifier: MIT
-- What the tests of exactness run: counters that would show an event lost or taken twice.
local participants = { admin = { roles = { "admin" } } }
for i = 0, 15 do participants["p" .. i] = {} end

return {
  participants = participants,
  groups = { watchers = { "p0", "p1" } },
  agents = { echo = { id = "echo1" } },
}
