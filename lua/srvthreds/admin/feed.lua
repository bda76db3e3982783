-- SPDX-License-Identifier: MIT
-- The live feed: what became of each event, once its step is durable. Watchers get it in batches, each at most RATE a
-- second; what is over that is counted, not sent. While nobody watches only the counting is done.
--
--   entry = { at, id, type, source, outcome, thred, pattern, reaction, to, error }

local runtime = require "core.runtime"

local BATCH_MS, RATE, SECONDS = 100, 200, 64

local feed = {}
feed.__index = feed

---@param engine table its `watch` is taken, if there is no
---@param told table<function, boolean>? set of functions that it calls
function feed.new(engine, told)
  local self = setmetatable({ engine = engine, watchers = {}, count = 0, totals = {}, seconds = {} }, feed)
  local function fn(kind, what)
    if kind == "step" then self:step(what) end
  end
  if told then
    told[fn] = true
  else
    engine.watch = fn
  end
  return self
end

-- One bucket a second, for rates.
local function tally(self, outcome)
  self.totals[outcome] = (self.totals[outcome] or 0) + 1
  local second = runtime.now() // 1000
  local bucket = self.seconds[second % SECONDS]
  if not bucket or bucket.second ~= second then
    bucket = { second = second, count = 0 }
    self.seconds[second % SECONDS] = bucket
  end
  bucket.count = bucket.count + 1
end

---Steps a second over the last full seconds.
function feed:rate(seconds)
  local now, n = runtime.now() // 1000, 0
  for second = now - seconds, now - 1 do
    local bucket = self.seconds[second % SECONDS]
    if bucket and bucket.second == second then n = n + bucket.count end
  end
  return n / seconds
end

-- Content is none of the feed's business: types and ids, no payloads.
local function entry_of(item)
  local d, info, step = item.delivery, item.info or {}, item.step
  local doc, log = d and d.doc, step and step.log or {}
  local first, last = log[1] or {}, log[#log] or {}
  return {
    at = runtime.now(), id = doc and doc.id, type = doc and doc.type, source = doc and doc.source and doc.source.id,
    outcome = item.outcome, thred = step and step.thred or info.threds and info.threds[1],
    pattern = step and step.pattern, version = step and step.version,
    reaction = first.from, to = last.to, error = info.error and info.error.message,
  }
end

local function wake(self)
  if self.timer_on then return end
  self.timer_on = true
  self.timer = self.timer or runtime.timer(function()
    self.timer_on = false
    self:flush()
  end)
  self.timer:start(runtime.now() + BATCH_MS)
end

---A step is durable.
function feed:step(item)
  tally(self, item.outcome)
  if self.count == 0 then return end
  local entry
  for w in pairs(self.watchers) do
    if #w.entries >= w.limit then
      w.dropped = w.dropped + 1
    else
      entry = entry or entry_of(item)
      if not w.filter or w.filter(entry) then w.entries[#w.entries + 1] = entry end
    end
  end
  wake(self)
end

function feed:flush()
  for w in pairs(self.watchers) do
    if #w.entries > 0 or w.dropped > 0 then
      local entries, dropped = w.entries, w.dropped
      w.entries, w.dropped = {}, 0
      w.fn(entries, dropped)
    end
  end
end

---@param fn fun(entries: table[], dropped: integer) called with what came since the last time
---@param filter (fun(entry: table): boolean)?
---@return fun() stop
function feed:watch(fn, filter)
  local w = { fn = fn, filter = filter, entries = {}, dropped = 0, limit = RATE * BATCH_MS // 1000 }
  self.watchers[w] = true
  self.count = self.count + 1
  self.engine.watched = true
  return function()
    if not self.watchers[w] then return end
    self.watchers[w] = nil
    self.count = self.count - 1
    self.engine.watched = self.count > 0
  end
end

return feed
