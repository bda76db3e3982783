-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower hostile
-- Memory is charged to the context whose script took it, and given back when it is freed.
local script = require "core.script"
local runtime = require "core.runtime"

local env = script.environment { sleep = runtime.sleep, make = script.trusted(function(n) return ("x"):rep(n) end), keep = {} }
local function load(source) return assert(script.load(source, "@memory.lua", env)) end
local function collect() for _ = 1, 3 do collectgarbage() end end

-- what a context holds is what its script kept
do
  local context = {}
  local hold = load("local t = {} for i = 1, 1000 do t[i] = { i } end return t")
  do
    local ok, t = script.call(context, nil, hold)
    collect()
    local used = script.used(context)
    assert(ok and #t == 1000)
    assert(used.memory > 1000 * 56 and used.memory < 1000 * 150, used.memory)
    assert(used.peak >= used.memory)
  end
  collect()
  collect()
  assert(script.used(context).memory < 1000, script.used(context).memory)
end

-- bodies of trusted functions aren't charged
do
  local context = {}
  local ok, text = script.call(context, { memory = 100000 }, load("return make(2 << 20)"))
  assert(ok and #text == 2 << 20)
  assert(script.used(context).peak < 10000)
end

-- garbage is no reason to end a script
do
  local ok, e = script.call({}, { cpu = 60000, wall = 60000, memory = 2 << 20 }, load("for i = 1, 300000 do local t = { i, i, i } end return true"))
  assert(ok, ok or e.message)
  ok, e = script.call({}, { cpu = 60000, wall = 60000, memory = 3 << 20 }, load("local s for i = 1, 200 do s = ('x'):rep(900000) end return #s"))
  assert(ok, ok or e.message)
end

-- stacks are charged to who makes them grow, also those of coroutines that served others before
do
  local deep = load("local function f(n) if n > 0 then return f(n - 1) + 1 end return 0 end return f(9000)")
  local shallow = load("return 1")
  for _ = 1, 3 do
    local context = {}
    collectgarbage "incremental" -- the other mode makes no stack smaller
    collect()
    assert(script.call(context, nil, deep))
    assert(script.used(context).peak > 9000 * 3 * 16, script.used(context).peak)
    local other = {}
    assert(script.call(other, nil, shallow))
    assert(script.used(other).peak < 10000, script.used(other).peak)
  end
  collect()
  local coroutines = load("return coroutine.wrap(function() local function f(n) if n > 0 then return f(n - 1) + 1 end return 0 end return f(9000) end)()")
  local context = {}
  assert(script.call(context, nil, coroutines))
  assert(script.used(context).peak > 9000 * 3 * 16, script.used(context).peak)
end

-- calls in each other have an end of their own, and only the innermost are told
do
  local context = {}
  local ok, e = script.call(context, { cpu = 60000, wall = 60000, memory = 64 << 20 }, load("local function f() return 1 + f() end return f()"))
  assert(not ok and e.kind == "stack" and script.used(context).peak < 4 << 20, ok or e.kind)
  assert(e.message:find("memory.lua:1: the script was ended: it made more than 10000 calls in each other", 1, true), e.message)
  assert(e.traceback:find("memory.lua:1: in", 1, true) and e.traceback:find("more than 500 levels", 1, true), e.traceback)
end

-- what is kept over the cap is
do
  local context = {}
  local more = load("for i = 1, 1000 do keep[#keep + 1] = ('x'):rep(100) .. #keep end")
  local calls, e, ok = 0, nil, true
  while ok and calls < 1000 do
    ok, e = script.call(context, { cpu = 60000, wall = 60000, memory = 1 << 20 }, more)
    calls = calls + 1
  end
  assert(not ok and e.kind == "memory" and calls > 3 and calls < 12, calls)
  assert(e.message:find("the limit is 1048576", 1, true), e.message)
end

-- everything comes back: of contexts that ended well, failed, were ended, waited
do
  env = script.environment { sleep = runtime.sleep }
  collect()
  local before = script.memory()
  local sources = {
    "local t = {} for i = 1, 100 do t[i] = tostring(i) end return t",
    "error { message = 'no' }",
    "local t = {} while true do t[#t + 1] = {} end",
    "while true do end",
    "sleep(1) return coroutine.wrap(function() coroutine.yield({}) end)()",
    "local function f(n) if n > 0 then return f(n - 1) + 1 end return 0 end return f(5000)",
  }
  for round = 1, 20 do
    for _, source in ipairs(sources) do
      script.call({ seed = round }, { cpu = 5, memory = 1 << 20 }, load(source))
    end
  end
  for _ = 1, 4 do collect() end -- each frees half of the frames that a pooled coroutine has and doesn't use
  local after = script.memory()
  -- it keeps a frame or two of whom it served
  assert(after.scripts - before.scripts < 4096, after.scripts - before.scripts)
  assert(after.total - before.total < 65536, after.total - before.total)
  assert(after.contexts - before.contexts < 20, after.contexts - before.contexts)
end

-- of the coroutines of many calls at once only some are kept for the next ones
do
  local waits = assert(script.load("sleep(1)", "@waits.lua", script.environment { sleep = runtime.sleep }))
  local function after(n, fn)
    local ended = 0
    for _ = 1, n do runtime.spawn(function() fn() ended = ended + 1 end) end
    while ended < n do runtime.sleep(1) end
    collect()
    return script.memory().total
  end
  local function call() script.call({}, nil, waits) end
  after(2000, function() runtime.sleep(1) end) -- the tasks themselves are kept
  local few = after(64, call)
  local kept = after(2000, call) - few
  assert(kept < 500000, kept)
end

-- also of one that was ended in a coroutine of the pool
do
  env = script.environment {}
  script.call({}, nil, load("return 1"))
  collect()
  local before = script.memory().scripts
  local _, e = script.call({}, { cpu = 60000, wall = 60000, memory = 8 << 20 }, load("local t = {} while true do t[#t + 1] = {} end"))
  assert(e.kind == "memory")
  collect()
  assert(script.memory().scripts - before < 4096, script.memory().scripts - before)
end

-- a block larger than the limit is never taken
do
  local context = {}
  local ok, e = script.call(context, { cpu = 60000, wall = 60000, memory = 1 << 20 },
    load("local s = ('x'):rep(1 << 19) return #(s .. s .. s .. s .. s .. s)"))
  assert(not ok and e.kind == "memory")
  assert(script.used(context).peak < 2 << 20, script.used(context).peak)
end

-- nor one part of a table above its own limit
if not hostile then
  for _, source in ipairs { "local t = {} for i = 1, (1 << 21) + 1 do t[i] = i end", "local t = {} for i = 1, (1 << 20) + 1 do t[-i] = i end" } do
    local context = {}
    local ok, e = script.call(context, { cpu = 60000, wall = 60000, memory = 512 << 20 }, load(source))
    assert(not ok and e.kind == "memory" and e.message:find("a block of %d+ bytes, the limit is 33554432"), e and e.message)
    assert(script.used(context).peak < 49 << 20, script.used(context).peak)
  end
end
