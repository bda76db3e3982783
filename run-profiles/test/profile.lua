-- SPDX-License-Identifier: MIT
-- For tests: a hundred participants p0 … p99, the first ten in group0, and a pattern that answers who asks.
local participants, group0 = { admin = { roles = { "admin" } } }, {}

for i = 0, 99 do
  participants["p" .. i] = {}
  if i < 10 then group0[#group0 + 1] = "p" .. i end
end

return { participants = participants, groups = { group0 = group0 } }
