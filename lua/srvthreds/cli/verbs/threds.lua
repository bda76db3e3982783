-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local scripts = require "srvthreds.cli.scripts"

local id_word = { name = "ID", help = "of the thred, as `threds list` shows it" }
local keys = { "server", "engine.port", "data" }

local function list(call)
  local flags = call.flags
  local items, after = client.list(call, "/api/threds", { pattern = flags.pattern, reaction = flags.reaction,
    status = flags.status, older_than = flags["older-than"] and flags["older-than"] .. "ms", after = flags.after },
    listing.limit(call))
  output.list(flags.output, {
    { "id" }, { "pattern" }, { "reaction" }, { "status" }, { "step", right = true },
    { "started", show = function(at) return output.age(at) end, right = true },
    { "reacted", title = "last", show = function(at) return output.age(at) end, right = true },
    { "due", show = function(at) return output.age(at) end },
  }, items, "no threds")
  listing.more(after)
  return 0
end

local function title_of(event)
  local data = type(event) == "table" and event.data
  return type(data) == "table" and data.title or ""
end

local function event_rows(events)
  local rows = {}
  for i, row in ipairs(events or {}) do
    local event = type(row.event) == "table" and row.event or {}
    local source = type(event.source) == "table" and event.source.id or ""
    rows[i] = { at = row.at, way = row.direction == "out" and "→" or "←", type = event.type, id = row.id,
      who = row.direction == "out" and listing.recipients(row) or source,
      outcome = row.outcome, title = title_of(event) }
  end
  return rows
end

local function print_thred(answer)
  local thred = answer.thred or answer
  output.facts {
    { "id", thred.id }, { "pattern", thred.pattern }, { "version", thred.version }, { "status", thred.status },
    { "reaction", thred.reaction }, { "step", thred.step }, { "started", output.time(thred.started) },
    { "last", output.time(thred.reacted) }, { "due", output.time(thred.due) }, { "ended", output.time(thred.ended) },
    { "participants", thred.participants }, { "locals", thred.locals },
    { "its pattern", type(answer.paused) == "table" and ("%s: %s; %d events wait"):format(answer.paused.state,
      answer.paused.reason, answer.paused.waiting) or nil },
  }
  local events = event_rows(answer.events)
  if events[1] then
    output.line("\n" .. output.colour("bold", "Events in (←) and out (→)"))
    output.list("table", { { "at", show = function(at) return output.time(at) end }, { "way", title = " " }, { "type" },
      { "who" }, { "outcome" }, { "title" }, { "id" } }, events)
  end
  if answer.log and answer.log[1] then
    output.line("\n" .. output.colour("bold", "Log"))
    output.list("table", { { "at", show = function(at) return output.time(at) end }, { "from" }, { "to" }, { "outcome" },
      { "event" } }, answer.log)
  end
  scripts.print(answer.usage)
end

local function show(call)
  local answer = client.admin(call, "GET", client.path("threds", call.words[1]))
  if (call.flags.output or "table") ~= "table" then output.line(json.encode(answer)) else print_thred(answer) end
  return 0
end

local function transition(call)
  local id, to = call.words[1], call.words[2]
  local go, code = listing.go_on(call, ("move thred %s to reaction %s"):format(id, to))
  if not go then return code end
  client.admin(call, "POST", client.path("threds", id, "transition"), { body = { to = to } })
  output.say(("thred %s goes to %s"):format(id, to))
  return 0
end

local function terminate(call)
  local code = 0
  for _, id in ipairs(call.words) do
    local go, no = listing.go_on(call, ("terminate thred %s"):format(id))
    if go then
      client.admin(call, "POST", client.path("threds", id, "terminate"))
      output.say(("thred %s is terminated"):format(id))
    else
      code = no
    end
  end
  return code
end

return {
  name = "threds",
  examples = {
    { "srvthreds threds list --pattern \"Contact Response\"", "what runs, on which reaction, since when" },
    { "srvthreds threds show ID", "its locals, events and log" },
    { "srvthreds threds terminate ID", "end it" },
  },
  verbs = {
    { name = "threds list", line = "what runs, on which reaction, since when", lists = true, run = list, keys = keys,
      flags = listing.with {
        { name = "pattern", value = "ID", help = "of this pattern: its id or name" },
        { name = "reaction", value = "NAME", help = "that wait in this reaction" },
        { name = "status", value = "STATUS", type = "choice", choices = { "active", "finished", "terminated" },
          help = "active, finished or terminated" },
        { name = "older-than", value = "DURATION", type = "duration", help = "whose last event is longer ago" },
      },
      examples = { { "srvthreds threds list" }, { "srvthreds threds list --reaction deploy --older-than 10m" },
        { "srvthreds threds list -o jsonl --limit 100000" } } },
    { name = "threds show", line = "one thred: locals, events, log", lists = true, run = show, keys = keys, words = { id_word },
      examples = { { "srvthreds threds show ID" }, { "srvthreds threds show ID -o json" } } },
    { name = "threds transition", line = "move a thred to a reaction", run = transition, keys = keys,
      words = { id_word, { name = "REACTION", help = "of its pattern, or $next, $terminate" } },
      flags = { listing.yes, listing.dry_run },
      examples = { { "srvthreds threds transition ID deploy" }, { "srvthreds threds transition ID '$next' --yes" } } },
    { name = "threds terminate", line = "end threds", run = terminate, keys = keys,
      words = { { name = "ID", many = true, help = id_word.help } }, flags = { listing.yes, listing.dry_run },
      examples = { { "srvthreds threds terminate ID" }, { "srvthreds threds terminate ID ID ID --yes" } } },
  },
}
