-- SPDX-License-Identifier: MIT
-- Leaves unless nobody else would be there: reads all, writes one. It looks for long, so that others look meanwhile.
return function(db, args)
  local others
  for _ = 1, 10 do others = db:count { matcher = { here = true, id = { ["$ne"] = args.who } } } end
  if others > 0 then db:update { matcher = { id = args.who }, values = { here = false } } end
  return others
end
