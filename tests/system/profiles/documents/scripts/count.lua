-- SPDX-License-Identifier: MIT
-- Puts a document and counts it: both or neither.
return function(db, args)
  if db:count { matcher = { seq = args.seq } } > 0 then error(("%d is there already"):format(args.seq)) end
  db:put { values = { seq = args.seq } }
  db:upsert { matcher = { id = "counter" }, values = { ["$inc"] = { n = 1 } } }
  if args.fail then error "after all was written" end
  return { counted = db:getOne { matcher = { id = "counter" } }.n }
end
