-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local colours = { matched = "green", handled = "green", error = "red", not_matched = "dim", no_pattern = "yellow" }

local function text(value)
  return value ~= nil and value ~= json.null and output.plain(value) or ""
end

local function line_of(entry)
  local at = type(entry.at) == "number" and os.date("%H:%M:%S", entry.at // 1000 | 0) or ""
  local outcome = text(entry.outcome)
  local out = { output.colour("dim", at), output.colour(colours[outcome] or "cyan", ("%-11s"):format(outcome)),
    text(entry.type), "from " .. text(entry.source) }
  if entry.pattern then
    local move = text(entry.reaction)
    if entry.to then move = ("%s → %s"):format(move, text(entry.to)) end
    out[#out + 1] = ("%s: %s"):format(text(entry.pattern), move)
  end
  if entry.thred then out[#out + 1] = output.colour("dim", text(entry.thred)) end
  if entry.error then out[#out + 1] = output.colour("red", text(entry.error)) end
  return table.concat(out, "  ")
end

local function wanted(call, entry)
  local flags = call.flags
  return (not flags.pattern or entry.pattern == flags.pattern) and (not flags.thred or entry.thred == flags.thred)
    and (not flags.errors or entry.error ~= nil or entry.outcome == "error")
end

local function print_entry(call, entry)
  if not wanted(call, entry) then return end
  output.line((call.flags.output or "table") == "table" and line_of(entry) or json.encode(entry))
end

-- A frame carries entries in `steps`, or is one entry.
local function print_frame(call, frame)
  if frame.error and not frame.outcome then
    local e = frame.error
    problem.raise("no_token", type(e) == "table" and e.message or tostring(e))
  elseif frame.steps then
    for _, entry in ipairs(frame.steps) do print_entry(call, entry) end
    if frame.dropped then output.say(("%d more were too many to show"):format(frame.dropped)) end
  elseif frame.outcome then
    print_entry(call, frame)
  end
end

local function follow(call, connection)
  while true do
    local bytes, reason = connection:receive()
    if not bytes then return reason end
    print_frame(call, json.decode(bytes))
  end
end

local function connect(call)
  local token = client.admin_token(call)
  local headers = token and { Authorization = "Bearer " .. token } or {}
  return client.websocket(call, "engine.port", "/api/live", { headers = headers, timeout_ms = 10000 })
end

-- The system may be restarted while somebody watches: what ends is told, and it goes on by itself.
local function run(call)
  io.stdout:setvbuf("line")
  local first = true
  while true do
    local ok, connection = pcall(connect, call)
    if ok then
      output.say(first and "watching; Ctrl-C ends it" or "there again")
      first = false
      follow(call, connection)
      output.say("the system went away; waiting for it")
    elseif first then
      error(client.unreachable(client.address(call, "http", "engine.port"), connection), 0)
    end
    runtime.sleep(500)
  end
end

return {
  name = "watch", run = run, lists = true, keys = { "server", "engine.port", "data" },
  flags = {
    { name = "pattern", value = "ID", help = "only events of this pattern" },
    { name = "thred", value = "ID", help = "only events of this thred" },
    { name = "errors", help = "only what failed" },
  },
  examples = {
    { "srvthreds watch", "every event: what it was, what became of it" },
    { "srvthreds watch --errors" },
    { "srvthreds watch -o jsonl | jq .outcome", "for programs" },
  },
  about = "Follows the live feed: one line for each event that was processed, once its step is durable.",
}
