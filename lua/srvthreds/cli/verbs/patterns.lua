-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local values = require "srvthreds.config_values"

local id_word = { name = "ID", help = "of the pattern, as `patterns list` shows it" }
local keys = { "server", "engine.port", "data" }

local function short_hash(hash)
  return type(hash) == "string" and hash:sub(1, 12) or ""
end

local function status_of(_, row)
  if row.status then return row.status end
  if row.enabled == false then return "disabled" end
  return row.active == false and "stored" or "active"
end

-- Problems of files, each once; those of a pattern's newer file stand at the pattern too.
local function print_problems(problems)
  for _, one in ipairs(problems or {}) do
    output.line("")
    output.line(output.colour("red", (type(one) == "table" and one.text or tostring(one)):gsub("\n$", "")))
  end
end

local function list(call)
  local items, after, page = client.list(call, "/api/patterns", { after = call.flags.after }, listing.limit(call))
  output.list(call.flags.output, {
    { "id" }, { "name" }, { "version", show = short_hash }, { "status", show = status_of }, { "threds", right = true },
    { "file" },
    { "problem", show = function(text, row)
      local found = text or row.problems and row.problems[1]
      return found and "its file has mistakes" or row.file_differs and "its file differs" or ""
    end },
  }, items, "no patterns")
  if (call.flags.output or "table") == "table" then print_problems(page.problems) end
  listing.more(after)
  return 0
end

local function print_pattern(pattern)
  output.facts {
    { "id", pattern.id }, { "name", pattern.name }, { "description", pattern.description },
    { "status", status_of(nil, pattern) }, { "version", pattern.version }, { "threds", pattern.threds },
    { "file", pattern.file },
  }
  if pattern.reactions and pattern.reactions[1] then
    output.line("\n" .. output.colour("bold", "Reactions"))
    output.list("table", { { "name" }, { "line", right = true }, { "shape" },
      { "expiry", show = function(e)
        return type(e) == "table" and values.show({ type = "duration" }, e.after) or ""
      end } }, pattern.reactions)
  end
  if type(pattern.versions) == "table" and pattern.versions[1] then
    output.line("\n" .. output.colour("bold", "Versions"))
    output.list("table", { { "version", show = short_hash }, { "active" }, { "threds", right = true },
      { "at", show = function(at) return output.time(at) end } }, pattern.versions)
  end
  if pattern.problem then print_problems { { text = pattern.problem } } end
end

local function show(call)
  local pattern = client.admin(call, "GET", client.path("patterns", call.words[1]))
  if (call.flags.output or "table") ~= "table" then output.line(json.encode(pattern)) else print_pattern(pattern) end
  return 0
end

local function turn(word, done)
  return function(call)
    local id = call.words[1]
    local go, code = listing.go_on(call, ("%s pattern %s"):format(word, id))
    if not go then return code end
    client.admin(call, "POST", client.path("patterns", id, word))
    output.say(done:format(id))
    return 0
  end
end

local acting = { listing.yes, listing.dry_run }

return {
  name = "patterns",
  examples = {
    { "srvthreds patterns list", "what is loaded, and what is wrong with which file" },
    { "srvthreds patterns show ID", "its reactions, versions and threds" },
    { "srvthreds patterns disable ID", "no new threds; those that run go on" },
  },
  verbs = {
    { name = "patterns list", line = "what is loaded, and what is wrong with which file", lists = true, run = list,
      keys = keys, flags = listing.with {}, examples = { { "srvthreds patterns list" }, { "srvthreds patterns list -o json" } } },
    { name = "patterns show", line = "reactions, versions, threds on each", lists = true, run = show, keys = keys,
      words = { id_word }, examples = { { "srvthreds patterns show ID" } } },
    { name = "patterns enable", line = "it starts threds again", run = turn("enable", "pattern %s is on"), keys = keys,
      words = { id_word }, flags = acting, examples = { { "srvthreds patterns enable ID" } } },
    { name = "patterns disable", line = "no new threds; those that run go on",
      run = turn("disable", "pattern %s starts no new threds"), keys = keys, words = { id_word }, flags = acting,
      examples = { { "srvthreds patterns disable ID --yes" } } },
  },
}
