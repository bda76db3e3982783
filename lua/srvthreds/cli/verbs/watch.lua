-- SPDX-License-Identifier: MIT
local client = require "srvthreds.cli.client"
local json = require "core.json"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local AGAIN_MS, TIMEOUT_MS = 300, 10000

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

local function print_frame(state, frame)
  if frame.error then problem.raise("no_token", tostring(frame.error.message)) end
  if frame.hello then
    output.say(state.away and "there again; what happened meanwhile isn't shown" or "watching; Ctrl-C ends it")
    state.away = false
  end
  for _, entry in ipairs(frame.steps or {}) do print_entry(state.call, entry) end
  if frame.dropped then output.say(("%d more were too many to show"):format(frame.dropped)) end
end

local function connect(call)
  return client.websocket(call, "engine.port",
    "/api/live" .. client.query { pattern = call.flags.pattern, thred = call.flags.thred },
    { headers = { Authorization = "Bearer " .. (client.admin_token(call) or "") }, timeout_ms = TIMEOUT_MS })
end

-- Until the connection ends, if there is one.
local function follow(state)
  local ok, connection = pcall(connect, state.call)
  local bytes = ok and connection:receive()
  while bytes do
    print_frame(state, json.decode(bytes))
    bytes = connection:receive()
  end
end

-- The system may be restarted while somebody watches: that is told, and it goes on by itself.
local function run(call)
  io.stdout:setvbuf("line")
  client.admin(call, "GET", "/api/stats") -- who may not, or finds nobody, is told at once
  local state = { call = call, away = false }
  while true do
    follow(state)
    if not state.away then output.say("the system went away; waiting for it") end
    state.away = true
    runtime.sleep(AGAIN_MS)
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
