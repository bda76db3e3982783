-- SPDX-License-Identifier: MIT
-- The memory of the process has a limit. Near it less is taken in, until what was taken in before is done: HTTP answers 503
-- with Retry-After, sessions are read no more. Near the limit of all scripts together no further step begins. Nothing that
-- was accepted is given up for that.
--
-- It looks while there is work, LOOK_MS apart: taking in (`touch`) begins it, an empty queue ends it.

local logs = require "core.log"
local metrics = require "core.metrics"
local runtime = require "core.runtime"
local script = require "core.script"

local LOOK_MS = 20
local TIGHT, HIGH, LOW = 0.35, 0.6, 0.5 -- of the limit; allocated memory is less than what the process takes from the machine
local QUEUE_HIGH, QUEUE_LOW = 0.9, 0.5 -- at 1 the queue itself makes accepting wait
local COLLECT_KB = 8192 -- a look
local LOOSE = { 400, 20 } -- the collector's pause and speed as script_state_new sets them
local HARD = { 110, 80 }

local pressure = {}
pressure.__index = pressure

---@class srvthreds.PressureOptions
---@field limit integer bytes of the whole process
---@field scripts integer of all scripts together
---@field queued integer of events that aren't processed
---@field queue { bytes: (fun(self): integer), depth: (fun(self): integer) }
---@field memory (fun(): { heap: integer, scripts: integer })? for tests

---@param options srvthreds.PressureOptions
function pressure.new(options)
  local self = setmetatable({
    limit = options.limit, scripts = options.scripts, queued = options.queued, queue = options.queue,
    memory = options.memory or script.memory, log = logs.logger { module = "memory" },
    high = false, full = false, tight = false, -- taking in waits; steps wait; the collector is hurried
    steps_wait = false, -- full, or some that waited have not begun
    takers = { first = 1, last = 0, going = 0 }, steps = { first = 1, last = 0, going = 0 },
    gauge = metrics.gauge "srvthreds_memory_pressure",
  }, pressure)
  self.timer = runtime.timer(function() self:look() end)
  return self
end

-- Waiting ------------------------------------------------------------------------------------------------------------

-- First come, first served; nobody new passes one that waits or was just told to go on.
local function wait(line)
  local channel = runtime.channel()
  line.last = line.last + 1
  line[line.last] = channel
  channel:take()
  line.going = line.going - 1
end

local function let_go(line)
  for i = line.first, line.last do
    line.going = line.going + 1
    line[i]:put(true)
    line[i] = nil
  end
  line.first = line.last + 1
end

local function is_empty(line) return line.first > line.last and line.going == 0 end

---In a task: waits until there is room for what somebody sends.
function pressure:wait_to_take()
  self:touch()
  if self.high or not is_empty(self.takers) then wait(self.takers) end
end

---In a task, if `steps_wait`: waits until there is room for the scripts of another step.
function pressure:wait_to_step()
  wait(self.steps)
  self.steps_wait = self.full or not is_empty(self.steps)
end

-- Looking ------------------------------------------------------------------------------------------------------------

local function mib(bytes) return bytes // 1048576 end

local function collect(self, heap, full)
  local tight = full or heap > TIGHT * self.limit
  if tight ~= self.tight then
    self.tight = tight
    collectgarbage("incremental", (tight and HARD or LOOSE)[1], (tight and HARD or LOOSE)[2])
  end
  if tight then collectgarbage("step", COLLECT_KB) end
end

local function say(self, heap, queued)
  self.gauge:set(self.high and 1 or 0)
  if not self.high then return self.log.info("memory: accepting goes on", { bytes = heap }) end
  self.log.warn(("memory: %d MiB of %d MiB are in use, %d MiB of %d MiB by events that wait: less is accepted until it is less")
    :format(mib(heap), mib(self.limit), mib(queued), mib(self.queued)), { bytes = heap })
end

function pressure:look()
  local m, queued = self.memory(), self.queue:bytes()
  local share = self.high and LOW or HIGH
  local high = m.heap > share * self.limit or queued > (self.high and QUEUE_LOW or QUEUE_HIGH) * self.queued
  local full = m.scripts > (self.full and LOW or HIGH) * self.scripts
  collect(self, m.heap, full)
  self.full, self.steps_wait = full, full or self.steps_wait
  if high ~= self.high then
    self.high = high
    say(self, m.heap, queued)
  end
  if not self.full then let_go(self.steps) end
  self.steps_wait = self.full or not is_empty(self.steps)
  if not self.high then let_go(self.takers) end
  local work = self.queue:depth() > 0
  self.looking = work or self.high or self.full or self.tight or not is_empty(self.takers) or not is_empty(self.steps)
  if self.looking and not self.closed then self.timer:start(runtime.now() + LOOK_MS) end
end

---Something is taken in: from now on it looks.
function pressure:touch()
  if self.looking or self.closed then return end
  self.looking = true
  self.timer:start(runtime.now() + LOOK_MS)
end

---For /health/ready.
---@return string?
function pressure:summary()
  if not self.high then return nil end
  local m = self.memory()
  return ("%d MiB of memory.limit (%d MiB) are in use: HTTP answers 503, sessions wait"):format(mib(m.heap), mib(self.limit))
end

---Nobody waits any more.
function pressure:close()
  self.closed, self.high, self.full = true, false, false
  self.timer:stop()
  let_go(self.steps)
  let_go(self.takers)
end

-- Limits -------------------------------------------------------------------------------------------------------------

local function number_in(path, pattern)
  local text = runtime.read_file(path)
  return text and tonumber(text:match(pattern))
end

---What this machine has, or the container in it.
---@return integer bytes
function pressure.machine()
  local all = (number_in("/proc/meminfo", "MemTotal:%s*(%d+)") or 2097152) * 1024
  local own = number_in("/sys/fs/cgroup/memory.max", "^(%d+)") or all
  return math.tointeger(math.min(all, own) // 1)
end

local LEAST, CACHE_MOST = 256 << 20, 128 << 20

---@param values table the configuration
---@return { limit: integer, scripts: integer, queue: integer, cache: integer }
function pressure.limits(values)
  local limit = values["memory.limit"] or math.max(LEAST, pressure.machine() // 2)
  return {
    limit = limit, scripts = values["memory.scripts"] or limit // 4, queue = values["memory.queue"] or limit // 8,
    cache = values["memory.cache"] or math.min(CACHE_MOST, limit // 8),
  }
end

return pressure
