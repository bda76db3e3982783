-- SPDX-License-Identifier: MIT
-- Counts, and would count twice if it were run twice.
return function(db)
  db:upsert { matcher = { id = "counter" }, values = { ["$inc"] = { n = 1 } } }
  return db:getOne { matcher = { id = "counter" } }.n
end
