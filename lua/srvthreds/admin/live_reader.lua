-- SPDX-License-Identifier: MIT
-- A reader of the live feed by Server-Sent Events. It outlives its connection for a while: who comes back with
-- Last-Event-ID, READER.NUMBER, goes on where it was. It numbers what is for it, also what was too much to keep or show,
-- so the number before the next entry tells how many are missing.

local json = require "core.json"
local runtime = require "core.runtime"

local RETRY_MS, HEARTBEAT_MS, BEHIND_MS = 1000, 15000, 100
local KEEP_MS, KEEP_MOST = 30000, 1000
local AHEAD = 256 * 1024 -- bytes that may wait for the connection; the rest waits, or is counted, here

---@class srvthreds.admin.LiveReader
---@field id string
---@field items table<integer, { number: integer, step: table }> from `head` to `tail`; `at` is the next to be sent
---@field total integer number of the newest
---@field sent integer number of the last that was sent
---@field stream userdata? the connection
local reader = {}
reader.__index = reader

---@param feed table
---@param options table { filter = function?, gone = fn(reader) called when nobody came back }
---@return srvthreds.admin.LiveReader
function reader.new(feed, options)
  local self = setmetatable({
    id = runtime.random_bytes(8):gsub(".", function(c) return ("%02x"):format(c:byte()) end), options = options,
    items = {}, head = 1, tail = 0, at = 1, total = 0, sent = 0,
  }, reader)
  self.timer = runtime.timer(function() self:_tick() end)
  self.stop = feed:watch(function(entries, dropped) self:_take(entries, dropped) end, options.filter)
  return self
end

---@return string bytes of an event
function reader.event(name, data, id)
  return ("%sevent: %s\ndata: %s\n\n"):format(id and ("id: %s\n"):format(id) or "", name, json.encode(data))
end

function reader:_bytes(name, data, number)
  return reader.event(name, data, ("%s.%d"):format(self.id, number))
end

function reader:_send(name, data, number)
  self.stream:send(self:_bytes(name, data, number))
  self.sent = number
end

function reader:_missing_before(number)
  local missing = number - self.sent
  if missing > 0 then self:_send("dropped", { dropped = missing }, number) end
end

-- As much as the connection takes now.
function reader:_pump()
  while self.stream and self.at <= self.tail and self.stream:queued() <= AHEAD do
    local item = self.items[self.at]
    self.at = self.at + 1
    self:_missing_before(item.number - 1)
    self:_send("step", item.step, item.number)
  end
  if not self.stream then return end
  self.behind = self.at <= self.tail
  if not self.behind then self:_missing_before(self.total) end
  self.timer:start(runtime.now() + (self.behind and BEHIND_MS or HEARTBEAT_MS))
end

function reader:_take(entries, dropped)
  for _, step in ipairs(entries) do
    self.total, self.tail = self.total + 1, self.tail + 1
    self.items[self.tail] = { number = self.total, step = step }
  end
  self.total = self.total + dropped
  while self.tail - self.head >= KEEP_MOST do
    self.items[self.head] = nil
    self.head = self.head + 1
  end
  self.at = math.max(self.at, self.head)
  if not self.behind then self:_pump() end
end

function reader:_tick()
  if not self.stream then
    self.stop()
    return self.options.gone(self)
  end
  if not self.behind then self.stream:send ":\n\n" end
  self:_pump()
end

---The connection that the reader has from now on; an older one ends. What was seen is let go of.
---@param stream userdata
---@param hello table
---@param after integer number of the last that was seen
function reader:attach(stream, hello, after)
  local old = self.stream
  self.stream, self.sent = stream, math.min(after, self.total)
  if old then old:close() end
  while self.head <= self.tail and self.items[self.head].number <= after do
    self.items[self.head] = nil
    self.head = self.head + 1
  end
  self.at = self.head
  stream:send(("retry: %d\n"):format(RETRY_MS) .. self:_bytes("hello", hello, self.sent))
  self:_pump()
end

---A connection ended.
function reader:detach(stream)
  if self.stream ~= stream then return end
  self.stream, self.behind = nil, false
  self.timer:start(runtime.now() + KEEP_MS)
end

return reader
