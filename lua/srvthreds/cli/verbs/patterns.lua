-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local scripts = require "srvthreds.cli.scripts"
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
  local told = {}
  for _, one in ipairs(problems or {}) do
    local text = (type(one) == "table" and one.text or tostring(one)):gsub("\n$", "")
    if not told[text] then
      output.line("")
      output.line(output.colour("red", text))
    end
    told[text] = true
  end
end

local function list(call)
  local items, after, page = client.list(call, "/api/patterns", { after = call.flags.after }, listing.limit(call))
  output.list(call.flags.output, {
    { "id" }, { "name" }, { "version", show = short_hash }, { "status", show = status_of }, { "threds", right = true },
    { "used", title = "cpu", show = scripts.cpu, right = true }, { "used", title = "memory", show = scripts.memory, right = true },
    { "file" },
    { "problem", show = function(text, row)
      local found = text or row.problems and row.problems[1]
      if row.paused then return ("%s; %d events wait"):format(row.paused.reason, row.paused.waiting) end
      return found and "its file has mistakes" or row.file_differs and "its file differs" or ""
    end },
  }, items, "no patterns")
  if (call.flags.output or "table") == "table" then print_problems(page.problems) end
  listing.more(after)
  return 0
end

local function print_pattern(pattern)
  local paused = pattern.paused or {}
  output.facts {
    { "id", pattern.id }, { "name", pattern.name }, { "description", pattern.description },
    { "status", status_of(nil, pattern) }, { "version", pattern.version }, { "threds", pattern.threds },
    { "file", pattern.file }, { "paused since", output.time(paused.since) }, { "because", paused.reason },
    { "paused by", paused.by }, { "waiting", paused.waiting and ("%d events"):format(paused.waiting) },
    { "what to do", paused.state == "paused" and (type(paused.by) == "string" and "" or "mend it, save its file, or ")
      .. "srvthreds patterns resume " .. pattern.id or nil },
  }
  if pattern.reactions and pattern.reactions[1] then
    output.line("\n" .. output.colour("bold", "Reactions"))
    output.list("table", { { "name" }, { "line", right = true }, { "shape" },
      { "expiry", show = function(e)
        return type(e) == "table" and values.show({ type = "duration" }, e.after) or ""
      end } }, pattern.reactions)
  end
  scripts.print(pattern.usage)
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

local function pause(call)
  local id = call.words[1]
  local go, code = listing.go_on(call, ("pause pattern %s"):format(id))
  if not go then return code end
  client.admin(call, "POST", client.path("patterns", id, "pause"), { body = { reason = call.flags.reason } })
  output.say(("pattern %s is paused: its events wait until srvthreds patterns resume %s"):format(id, id))
  return 0
end

local function resume(call)
  local id = call.words[1]
  local go, code = listing.go_on(call, ("resume pattern %s"):format(id))
  if not go then return code end
  local answer = client.admin(call, "POST", client.path("patterns", id, "resume"))
  output.say(answer.changed and ("pattern %s goes on; %d events waited"):format(id, answer.waiting)
    or ("pattern %s is not paused"):format(id))
  return 0
end

local acting = { listing.yes, listing.dry_run }

return {
  name = "patterns",
  examples = {
    { "srvthreds patterns list", "what is loaded, and what is wrong with which file" },
    { "srvthreds patterns show ID", "its reactions, versions and threds" },
    { "srvthreds patterns disable ID", "no new threds; those that run go on" },
    { "srvthreds patterns resume ID", "a paused pattern goes on, with what has waited for it" },
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
    { name = "patterns pause", line = "none of its scripts runs, its events wait", run = pause, keys = keys, words = { id_word },
      flags = { { name = "reason", value = "TEXT", help = "for those who look" }, listing.yes, listing.dry_run },
      examples = { { "srvthreds patterns pause ID" }, { 'srvthreds patterns pause ID --reason "until Monday" --yes' } } },
    { name = "patterns resume", line = "a paused pattern goes on, with what has waited", run = resume, keys = keys,
      words = { id_word }, flags = acting, examples = { { "srvthreds patterns resume ID --yes" } } },
  },
}
