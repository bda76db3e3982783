-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local event_words = require "srvthreds.cli.event_words"
local json = require "core.json"
local listing = require "srvthreds.cli.listing"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local WAIT_MS, TIMEOUT_MS, RETRY_MS = 2000, 30000, 250

local meaning = {
  matched = "a thred took it",
  handled = "an agent handled it",
  partial = "a thred took it and waits for the rest of its condition",
  not_matched = "the thred is there, but waits for something else",
  no_pattern = "no pattern wants it (srvthreds patterns list; srvthreds watch)",
  duplicate = "an event of this id was taken before; it has no second effect",
  error = "processing it failed; it is a dead letter now (srvthreds dead list)",
  pending = "it is durably queued, but not processed yet",
}

local function wait_of(call)
  local wait = call.flags.wait
  if not wait then return nil end
  return wait == true and WAIT_MS or wait
end

local function away(address, cause, event, told)
  if told then return end
  output.say(("%s; trying again with the same id %s until --timeout"):format(
    client.unreachable(address, cause).message, event.id))
end

local function refuse(status, body)
  local told = type(body) == "table" and type(body.error) == "table" and body.error.message or ("HTTP status %d"):format(status)
  if status == 401 or status == 403 then
    problem.raise("no_token", told, { hint = "--as PARTICIPANT works where `srvthreds dev` takes ids as tokens, on loopback;\n"
      .. "elsewhere set SRVTHREDS_TOKEN or SRVTHREDS_TOKEN_FILE to an access token" })
  end
  problem.raise("refused", told)
end

-- One try: the answer, or nil and why when it is worth another.
local function try(call, url, event, token, wait)
  local net = require "core.net"
  local ok, answer = pcall(net.request, { method = "POST", url = url, body = json.encode(event),
    timeout_ms = (wait or 0) + 10000,
    headers = { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" } })
  if not ok then return nil, answer end
  local decoded, body = pcall(json.decode, answer.body)
  if answer.status == 503 or answer.status == 429 then
    return nil, decoded and type(body.error) == "table" and body.error or { message = "not ready" }
  end
  if answer.status ~= 200 then refuse(answer.status, decoded and body) end
  if not decoded then problem.raise("failed", url .. " answered with something that is no JSON", { hint = call.verb.about }) end
  return body
end

local function deliver(call, event, wait)
  local address = client.address(call, "http", "session.http_port")
  local url = address .. "/event" .. (wait and ("?wait=%dms"):format(wait) or "")
  local token = client.token(call, call.flags.as or "participant0")
  local last = runtime.now() + (call.flags.timeout or TIMEOUT_MS)
  local told, tries = false, 0
  while true do
    local answer, cause = try(call, url, event, token, wait)
    tries = tries + 1
    if answer then return answer, tries end
    if runtime.now() >= last then error(client.unreachable(address, cause), 0) end
    away(address, cause, event, told)
    told = true
    runtime.sleep(RETRY_MS)
  end
end

local function came_of(answer, id)
  local step, lines
  for _, row in ipairs(answer.events or {}) do
    if row.id == id then
      step, lines = row.step, {}
    elseif lines and row.direction == "out" and row.step == step and type(row.event) == "table" then
      local data = type(row.event.data) == "table" and row.event.data or {}
      lines[#lines + 1] = ("→ %s: %s"):format(listing.recipients(row), data.title or row.event.type)
    end
  end
  return lines or {}
end

-- What the threds sent because of it; known to who may ask the admin API.
local function print_effects(call, answer)
  for _, id in ipairs(type(answer.threds) == "table" and answer.threds or {}) do
    local ok, thred = pcall(client.admin, call, "GET", client.path("threds", id), { timeout_ms = 2000 })
    if ok then
      local facts = thred.thred or thred
      output.say(("thred %s of %s is %s%s"):format(id, facts.pattern or "?", facts.status or "?",
        facts.reaction and facts.status == "active" and ", waiting in " .. facts.reaction or ""))
      for _, line in ipairs(came_of(thred, answer.id)) do output.say("  " .. output.plain(line)) end
    end
  end
end

-- Why there is no outcome yet: it may wait for a pattern that is paused.
local function print_why(call, answer)
  local ok, event = pcall(client.admin, call, "GET", client.path("events", answer.id), { timeout_ms = 2000 })
  if ok and type(event.why) == "string" then output.say(output.plain(event.why)) end
end

local function print_answer(call, answer, wait)
  if (call.flags.output or "table") ~= "table" then
    output.line(json.encode(answer))
    return
  end
  local threds = type(answer.threds) == "table" and table.concat(json.copy(answer.threds), " ") or nil
  local failed = type(answer.error) == "table" and answer.error.message or answer.error
  output.facts { { "id", answer.id }, { "outcome", answer.outcome }, { "threds", threds }, { "error", failed } }
  if not wait then
    output.say("durably queued; --wait shows what becomes of it")
    return
  end
  if meaning[answer.outcome] then output.say(meaning[answer.outcome]) end
  print_effects(call, answer)
  if answer.outcome == "pending" then print_why(call, answer) end
end

local function run(call)
  local event, wait = event_words.read(call.words), wait_of(call)
  event.id = event.id or event_words.new_id()
  local answer, tries = deliver(call, event, wait)
  if tries > 1 and answer.outcome == "duplicate" then output.say("it had been taken before the connection broke") end
  print_answer(call, answer, wait)
  if answer.outcome == "error" then return 1 end
  return answer.outcome == "pending" and 4 or 0
end

return {
  name = "send", run = run, lists = true, keys = { "server", "session.http_port", "engine.port", "data" },
  words = { { name = "EVENT", many = true, help = "NAME=VALUE pairs, JSON, @FILE, or - for stdin" } },
  flags = {
    { name = "as", value = "PARTICIPANT", help = "who sends it; default: participant0, or whom your token names" },
    { name = "wait", value = "2s", optional = true, type = "duration",
      help = "wait for the outcome; without a duration 2s, a minute at most" },
    { name = "timeout", value = "30s", type = "duration",
      help = "how long to go on trying, with the same id, while the server is away" },
  },
  examples = {
    { "srvthreds send type=org.wt.echo values.echoTo=participant0 values.echoTitle=Hello --wait" },
    { "srvthreds send type=org.wt.client.tell thredId=ID values.deploy_robot_response=true --as participant1" },
    { "srvthreds send '{\"type\": \"org.wt.echo\", \"data\": {\"content\": {\"values\": {}}}}' -o json" },
    { "srvthreds send @event.json --wait=10s" },
  },
  about = [[
Sends one event and, with --wait, tells what became of it. An event has a type; values.NAME=VALUE is put where
patterns look for it, into data.content.values; any other NAME is a path in the event (thredId, re, data.title).
A VALUE that is JSON (5, true, null, "text", [1, 2]) is taken as such, everything else is text. The event keeps
its id however often it is sent, so it takes effect once. Exit code 0: taken; 1: processing failed; 4: nobody
there, or no outcome in time; 5: refused.]],
}
