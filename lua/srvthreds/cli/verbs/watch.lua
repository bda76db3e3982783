-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local output = require "srvthreds.cli.output"
local runtime = require "core.runtime"

-- The server holds a request for 15 s at most.
local HOLD_MS, AGAIN_MS = 30000, 300

local colours = { matched = "green", handled = "green", error = "red", not_matched = "dim", no_pattern = "yellow" }

local function shown(value)
  return value ~= nil and value ~= json.null and output.plain(value) or ""
end

local function line_of(entry)
  local at = type(entry.at) == "number" and os.date("%H:%M:%S", entry.at // 1000 | 0) or ""
  local outcome = shown(entry.outcome)
  local out = { output.colour("dim", at), output.colour(colours[outcome] or "cyan", ("%-11s"):format(outcome)),
    shown(entry.type), "from " .. shown(entry.source) }
  if entry.pattern then
    local move = shown(entry.reaction)
    if entry.to then move = ("%s → %s"):format(move, shown(entry.to)) end
    out[#out + 1] = ("%s: %s"):format(shown(entry.pattern), move)
  end
  if entry.thred then out[#out + 1] = output.colour("dim", shown(entry.thred)) end
  if entry.error then out[#out + 1] = output.colour("red", shown(entry.error)) end
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

local handlers = {}

function handlers.step(call, data)
  print_entry(call, data)
end

function handlers.dropped(_, data)
  output.say(("%s more were too many to show"):format(data.dropped or "some"))
end

-- Server-Sent Events: blocks of `field: value` lines with an empty line behind each.
local function print_events(call, text, last_id)
  for block in (text .. "\n\n"):gmatch("(.-)\n\n") do
    local fields = {}
    for name, value in block:gmatch("([%a]+): ?([^\n]*)") do fields[name] = fields[name] or value end
    last_id = fields.id or last_id
    local handler = handlers[fields.event or "step"]
    if handler and fields.data then handler(call, json.decode(fields.data)) end
  end
  return last_id
end

-- The system may be restarted while somebody watches: that is told, and it goes on by itself.
local function run(call)
  io.stdout:setvbuf("line")
  local query = { pattern = call.flags.pattern, thred = call.flags.thred }
  local away, last_id = false, nil
  client.admin(call, "GET", "/api/stats") -- who may not, or finds nobody, is told at once
  output.say("watching; Ctrl-C ends it")
  while true do
    local ok, text = pcall(client.admin, call, "GET", "/api/live",
      { query = query, text = true, headers = { ["Last-Event-ID"] = last_id }, timeout_ms = HOLD_MS })
    if ok then
      if away then output.say("there again") end
      away = false
      last_id = print_events(call, text, last_id)
    elseif text.name ~= "unreachable" then
      error(text, 0)
    else
      if not away then output.say("the system went away; waiting for it") end
      away = true
      runtime.sleep(AGAIN_MS)
    end
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
