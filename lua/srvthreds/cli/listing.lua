-- SPDX-License-Identifier: MIT
-- What verbs that list have in common: paging flags and the note that there is more.
local json = require "core.json"
local output = require "srvthreds.cli.output"

local listing = {}

---@type srvthreds.cli.Flag[]
listing.flags = {
  { name = "limit", value = "N", type = "integer", min = 1, help = "how many at most; default 100" },
  { name = "after", value = "PLACE", help = "go on behind the place that the list before this one named" },
}

---@return srvthreds.cli.Flag[] flags and the paging ones
function listing.with(flags)
  table.move(listing.flags, 1, #listing.flags, #flags + 1, flags)
  return flags
end

function listing.limit(call)
  return call.flags.limit or 100
end

function listing.more(after)
  if after ~= nil then output.say(("there are more: --after %s"):format(tostring(after))) end
end

---To whom an event went: people, else services, else what the pattern wrote.
---@param row table of the admin API
---@return string
function listing.recipients(row)
  for _, name in ipairs { "people", "services", "to" } do
    local to = row[name]
    if type(to) == "string" then return to end
    if type(to) == "table" and #to > 0 then
      local out = {}
      for i, one in ipairs(to) do out[i] = type(one) == "string" and one or json.encode(one) end
      return table.concat(out, ", ")
    end
  end
  return ""
end

---@type srvthreds.cli.Flag
listing.yes = { name = "yes", short = "y", help = "don't ask" }

---@type srvthreds.cli.Flag
listing.dry_run = { name = "dry-run", help = "say what would be done, and do nothing" }

---Asks before something is done, unless it is not to be done.
---@return boolean go_on, integer? code
function listing.go_on(call, what)
  if call.flags["dry-run"] then
    output.say("would " .. what)
    return false, 0
  end
  if output.confirm(what:gsub("^%l", string.upper) .. "?", call) then return true end
  output.say("nothing was done")
  return false, 5
end

return listing
