-- SPDX-License-Identifier: MIT
-- Patterns that fail in every way, and one that works beside them.
local participants = { admin = { roles = { "admin" } } }
for i = 0, 7 do participants["p" .. i] = {} end

return { participants = participants }
