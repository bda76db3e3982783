-- SPDX-License-Identifier: MIT
-- Random inputs from a seed, in virtual time: duplicates, pauses, restarts on the same file. Beside it a second world, in
-- memory, under the same key, is given what the first one recorded, and must end up the same to the byte. Both are run again
-- from their rows alone.
local t = require "srvthreds.spec"
local json = require "core.json"
local logs = require "core.log"
local accept = require "srvthreds.session.accept"
local events = require "srvthreds.engine.event"
local temp = require "temp_folder"
local world = require "world"

local PATTERNS = {
  [[p.pattern "Count" { echo_responses = true, broadcast_allowed = true,
    p.reaction "begin" { p.where { type = "begin" } {
      on_true = function(event, thred) thred.count, thred.last, thred.inversions = 0, {}, 0 end,
      transform = { title = "begun" }, publish = { to = { "$group0", "cid" }, name = "q" } } },
    p.reaction "count" { allowed_sources = { "$group0", "cid" }, expiry = { after = "90s", transition = "rest" },
      p.any {
        p.where { type = "add" } {
          on_true = function(event, thred)
            local who, seq = event.source.id, event:value "seq"
            thred.count = thred.count + 1
            if seq <= (thred.last[who] or 0) then thred.inversions = thred.inversions + 1 end
            thred.last[who] = seq
            thred.dice = math.random(1000000)
          end,
          transform = { title = "added", content = { values = function(_, thred) return { n = thred.count, now = p.now() } end } },
          publish = "$thred", transition = "$noTransition" },
        p.where { type = "spawn" } { spawn = { names = "Child", context = true }, transition = "$noTransition" },
        p.where { type = "bad" } { on_true = function(event, thred) thred.count = event.values.no.such end },
        p.all { p.where { type = "a" }, p.where { type = "b" } } { transform = { title = "both" }, publish = "ann",
          transition = "$noTransition" },
        p.where { type = "end" } { transition = "$terminate" } } },
    p.reaction "rest" { expiry = { after = "30s", transition = "count" }, p.where { type = "never" } {} } }]],
  [[p.pattern "Child" { p.reaction "wait" { expiry = { after = "20s", transition = "over" }, p.where { type = "never" } {} },
    p.reaction "over" { p.where { type = "never" } {} } }]],
}
local SOURCES = { "ann", "bob", "cid", "dee" }
local KINDS = { "add", "add", "add", "add", "spawn", "bad", "a", "b", "begin", "end", "nobody" }

-- One generator a run, so that a seed says everything.
local function generator(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
    return (state >> 30) % n + 1
  end
end

local function random_event(pick, threds, seq)
  local kind = KINDS[pick(#KINDS)]
  local event = { id = "r" .. seq, source = SOURCES[pick(#SOURCES)], type = kind, values = { seq = seq } }
  if kind ~= "begin" and kind ~= "nobody" then event.thredId = threds[pick(#threds)] end
  return event
end

-- Gives `to` what `from` recorded of the event.
local function replay(from, to, id, source)
  local row = world.task(function() return from.store:event(id, source) end)
  local doc = events.doc(type(row.body) == "string" and row.body or json.bytes(row.body))
  world.task(function()
    to.queue:accept(doc, { source = source, id = id, thred = doc.thredId, at = row.at, content = accept.content_of(doc) }, {})
  end)
end

local function start(url)
  local w = world.new { url = url }
  for _, source in ipairs(PATTERNS) do w:pattern(source) end
  return w
end

local function all_threds(w)
  local list = {}
  for _, status in ipairs { "active", "finished", "terminated" } do
    for _, row in ipairs(w:threds { status = status, limit = 1000 }) do list[#list + 1] = row.id end
  end
  table.sort(list)
  return list
end

-- Everything that is stored of a thred, as text; row numbers are the store's own.
local function picture(w, id)
  return world.task(function()
    local row = w.store:thred(id)
    local text = { tostring(row.state), row.reaction, row.step, row.status, row.started, row.reacted, tostring(row.due) }
    for _, e in ipairs(w.store:records(id, { limit = 100000 })) do
      text[#text + 1] = ("%s %s %s %s %s"):format(e.kind, e.outcome, e.step, tostring(e.body), tostring(e.rec))
    end
    return table.concat(text, "\n")
  end)
end

local function check_counts(w, sent)
  local want = {}
  for _, e in ipairs(sent) do
    if e.type == "add" and e.outcome == "matched" then want[e.thredId] = (want[e.thredId] or 0) + 1 end
  end
  for _, id in ipairs(all_threds(w)) do
    local state = w:thred(id).state
    if state.locals.count and not state.parent then
      t.eq(state.locals.count, want[id] or 0, "the count of " .. id)
      t.eq(state.locals.inversions, 0, "inversions of " .. id)
    end
  end
end

local function run(seed)
  local pick, folder = generator(seed), temp.new()
  local a = start("sqlite:" .. folder.path .. "/a.db")
  local b = start "memory:"
  b.engine.key = a.engine.key
  local threds, sent = {}, {}
  for seq = 1, 150 do
    local event = #threds < 3 and { id = "r" .. seq, source = "ann", type = "begin" } or random_event(pick, threds, seq)
    local copy = json.copy(event)
    local id, o = a:send(copy)
    event.outcome = o.outcome
    sent[#sent + 1] = event
    if event.type == "begin" and o.threds and o.threds[1] then threds[#threds + 1] = o.threds[1] end
    replay(a, b, id, event.source)
    if pick(10) <= 3 then
      local again = sent[pick(#sent)]
      local twice = json.copy(again)
      twice.outcome = nil
      t.eq(a:outcome(twice).outcome, "duplicate", again.id .. " again")
    end
    if pick(4) == 1 then a:advance(pick(20000)) end
    if pick(25) == 1 then a:restart() end
  end
  a:advance(1000)
  check_counts(a, sent)
  local mine, theirs = all_threds(a), all_threds(b)
  t.eq(theirs, mine, "the threds")
  for _, id in ipairs(mine) do t.eq(picture(b, id), picture(a, id), "thred " .. id) end
  local again = a:replay()
  t.ok(again.steps > #mine and again.events > 10)
  t.eq(again.threds, #mine)
  t.eq(b.inboxes, a.inboxes, "what was delivered")
  t.eq(#a:dead(), #b:dead(), "dead letters")
  a:close()
  b:close()
  folder:close()
  return #mine
end

logs.level "error" -- some events fail on purpose
local first = tonumber(os.getenv "SRVTHREDS_SEED")
local last = first or os.getenv "SRVTHREDS_LONG" and 60 or os.getenv "SRVTHREDS_GC" and 3 or 12
for seed = first or 1, last do
  t.test(("seed %d: counted once, in order, and the same when run again"):format(seed), function()
    local ok, e = xpcall(run, function(e) return e end, seed)
    if not ok then
      if type(e) == "table" and e.spec then e.spec = ("SRVTHREDS_SEED=%d\n%s"):format(seed, e.spec) end
      error(e, 0)
    end
    t.ok(e > 3)
  end)
end
return t.finish()
