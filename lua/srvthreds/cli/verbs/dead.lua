-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"

local keys = { "server", "engine.port", "data" }
local id_words = { { name = "ID", many = true, help = "of the dead letter, as `dead list` shows it" } }

local function error_text(e)
  return type(e) == "table" and e.message or e or ""
end

local function place(e)
  if type(e) ~= "table" or type(e.file) ~= "string" then return nil end
  return type(e.line) == "number" and ("%s:%d"):format(e.file, e.line) or e.file
end

local function event_id(event)
  return type(event) == "table" and event.id or event or ""
end

local function list(call)
  local items, after = client.list(call, "/api/dead", { pattern = call.flags.pattern, after = call.flags.after },
    listing.limit(call))
  output.list(call.flags.output, {
    { "id", right = true }, { "at", show = function(at) return output.time(at) end }, { "event", show = event_id },
    { "pattern" }, { "reaction" }, { "attempts", title = "tries", right = true }, { "error", show = error_text },
  }, items, "no dead letters")
  listing.more(after)
  return 0
end

local function show(call)
  for _, id in ipairs(call.words) do
    local letter = client.admin(call, "GET", client.path("dead", id))
    if (call.flags.output or "table") ~= "table" then
      output.line(json.encode(letter))
    else
      output.facts {
        { "id", letter.id }, { "at", output.time(letter.at) }, { "target", letter.target }, { "pattern", letter.pattern },
        { "reaction", letter.reaction }, { "version", letter.version }, { "attempts", letter.attempts },
        { "error", error_text(letter.error) }, { "where", place(letter.error) },
        { "event", letter.event },
      }
    end
  end
  return 0
end

local function each(call, word, method, done, ...)
  local code = 0
  for _, id in ipairs(call.words) do
    local go, no = listing.go_on(call, ("%s dead letter %s"):format(word, id))
    if go then
      client.admin(call, method, client.path("dead", id, ...))
      output.say(done:format(id))
    else
      code = no
    end
  end
  return code
end

local function retry(call)
  return each(call, "retry", "POST", "dead letter %s is tried again", "retry")
end

local function drop(call)
  return each(call, "drop", "DELETE", "dead letter %s is gone")
end

local acting = { listing.yes, listing.dry_run }

return {
  name = "dead",
  examples = {
    { "srvthreds dead list", "events that could not be processed, and why" },
    { "srvthreds dead retry ID", "again, on the pattern's active version" },
    { "srvthreds dead drop ID" },
  },
  about = "A dead letter is one event that failed for one target. It holds up nothing; it waits until somebody looks.",
  verbs = {
    { name = "dead list", line = "events that could not be processed, and why", lists = true, run = list, keys = keys,
      flags = listing.with { { name = "pattern", value = "ID", help = "of this pattern" } },
      examples = { { "srvthreds dead list" }, { "srvthreds dead list -o jsonl" } } },
    { name = "dead show", line = "the event and the error", lists = true, run = show, keys = keys, words = id_words,
      examples = { { "srvthreds dead show 12" } } },
    { name = "dead retry", line = "process it again", run = retry, keys = keys, words = id_words, flags = acting,
      examples = { { "srvthreds dead retry 12" }, { "srvthreds dead retry 12 13 14 --yes" } } },
    { name = "dead drop", line = "give it up", run = drop, keys = keys, words = id_words, flags = acting,
      examples = { { "srvthreds dead drop 12 --yes" } } },
  },
}
