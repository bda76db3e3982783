-- SPDX-License-Identifier: MIT
-- For benchmarks of the running program: participants p0 … p63.
local participants = { admin = { roles = { "admin" } } }
for i = 0, 63 do participants["p" .. i] = {} end
return { participants = participants }
