-- SPDX-License-Identifier: MIT
-- Leaves unless nobody else would be there: reads all, writes one.
return function(db, args)
  local others = db:count { matcher = { here = true, id = { ["$ne"] = args.who } } }
  if others > 0 then db:update { matcher = { id = args.who }, values = { here = false } } end
  return others
end
