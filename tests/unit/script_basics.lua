-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- luacheck: read globals stock slice cpu_ms slower
-- What script.call gives: results, errors, contexts, waiting, interleaving.
local script = require "core.script"
local runtime = require "core.runtime"

local env = script.environment {
  sleep = runtime.sleep,
  name = script.trusted(function() return script.context().name end),
  slow = script.trusted(function(ms) runtime.sleep(ms) return "slept " .. script.context().name end),
  fail = script.trusted(function() error({ code = 4200, message = "no such thing" }) end),
  busy = script.trusted(function(ms) local t = cpu_ms() while cpu_ms() - t < ms do end return "done" end),
}

local function run(source, limits, ...)
  local context = { now = 1700000000123, seed = 7, log = {}, name = "one" }
  local fn = assert(script.load(source, "@pat/x.lua", env))
  return context, script.call(context, limits, fn, ...)
end

local function gives(expected, source, ...)
  local _, ok, value = run(source, nil, ...)
  if not ok then error(value.message, 2) end
  if value ~= expected then error(("%s gave %s"):format(source, tostring(value)), 2) end
end

local function fails(kind, message, line, source, limits)
  local _, ok, e = run(source, limits)
  if ok then error("no error from " .. source, 2) end
  local where = ("%s:%s %s: %s"):format(e.file, e.line, e.kind, e.message)
  if e.kind ~= kind or e.file ~= "pat/x.lua" or e.line ~= line then error(where, 2) end
  if not e.message:find(message, 1, true) or not e.message:find("pat/x.lua:" .. line .. ": ", 1, true) then error(where, 2) end
  assert(e.traceback:find("stack traceback", 1, true))
  return e
end

-- results and arguments
gives(3, "local a, b = ... return a + b", 1, 2)
do
  local _, ok, a, b, c = run("return 1, nil, 3")
  assert(ok and a == 1 and b == nil and c == 3)
  local _, also, none = run("")
  assert(also and none == nil)
end

-- errors keep their value, and say where
fails("error", "boom", 2, "\nerror('boom')")
fails("error", "boom", 2, "\nerror('boom', 0)")
fails("error", "blame", 3, "local function f() error('blame', 2) end\n\nf()")
fails("error", "attempt to index a nil value (local 't')", 2, "local t\nreturn t.x")
fails("error", "an error value that is a function", 1, "error(function() end)")
assert(fails("error", "bad", 1, "error({ code = 4711, message = 'bad', extra = 5 })").code == 4711)
assert(fails("error", "bad", 1, "error({ message = 'bad', extra = 5 })").value.extra == 5)
assert(fails("error", "no such thing", 1, "fail()").code == 4200)
gives("no such thing", "local ok, e = pcall(fail) return e.message")
fails("stack", "stack overflow", 1, "local function f() return pcall(f) and 1 end local ok, e = pcall(f) local function g(n) local ok, e = pcall(g) if not ok then error(e, 0) end end g()")
fails("error", "closing failed", 1, "local x <close> = setmetatable({}, { __close = function() error 'closing failed' end }) error 'first'")

-- globals
fails("error", 'global "counter" can\'t be assigned: make it local', 2, "\ncounter = 1")
fails("error", 'global "prnt" is not known', 1, "prnt()")
fails("error", 'did you mean "string"', 1, "return sting.rep")
fails("error", "string is read-only", 1, "string.rep = 1")
fails("error", "rawset: this table is read-only", 1, "rawset(math, 'pi', 3)")
fails("error", "randomseed is not available", 1, "math.randomseed(1)")

-- `<close>` runs after an ordinary error, not in a killed script
do
  local context = run("local x <close> = setmetatable({}, { __close = function() log 'closed' end }) error 'e'")
  assert(context.log[1] == "closed")
  local killed, ok, e = run("local x <close> = setmetatable({}, { __close = function() log 'closed' end }) while true do end", { cpu = 5 })
  assert(not ok and e.kind == "cpu" and #killed.log == 0)
end

-- the context: clock, seed, log
gives(1700000000, "return os.time()")
gives("2023-11-14 22:13:20", "return os.date('%Y-%m-%d %H:%M:%S')")
gives("2023-11-14 22:13:20", "return os.date('!%Y-%m-%d %H:%M:%S')")
gives(86400, "return os.time { year = 1970, month = 1, day = 2, hour = 0 }")
gives(12, "return os.date('*t', 86400 * 365 - 1).month")
do
  local _, _, a = run("return math.random(1e9), math.random()")
  local _, _, b = run("return math.random(1e9), math.random()")
  assert(a == b)
  local context, _, x = run("return math.random(1e9)")
  local _, y = script.call(context, nil, assert(script.load("return math.random(1e9)", "@x", env)))
  assert(x == a and y ~= x, "random numbers go on within a context")
  local logged = run("log('a', 1, nil, true, {}, log)")
  assert(logged.log[1] == "a 1 nil true table function", logged.log[1])
end

-- a fixed order
gives("-1 1 2 3 x y", "local t, r = { x = 1, y = 2, 10, 20, 30, [-1] = 1 }, {} for k in pairs(t) do r[#r + 1] = k end return table.concat(r, ' ')")
gives("a b c", "local t, r = { c = 1, b = 2, a = 3 }, {} for k in next, t do r[#r + 1] = k end return table.concat(r, ' ')")
gives("a c", "local t, r = { c = 1, b = 2, a = 3 }, {} for k in pairs(t) do r[#r + 1] = k t.b = nil end return table.concat(r, ' ')")
gives(nil, "return next({})")
fails("error", "no fixed order", 1, "for k in pairs({ [{}] = 1 }) do end")
gives("abs", "return (next(math))")

-- syntax errors, bytecode
do
  local fn, e = script.load("local x =\n= 1", "@pat/bad.lua", env)
  assert(fn == nil and e.line == 2 and e.file == "pat/bad.lua" and e.message:find("pat/bad.lua:2:", 1, true), e.message)
  fn, e = script.load(string.dump(function() end), "@pat/bad.lua", env)
  assert(fn == nil and e.message:find("binary", 1, true))
end

-- limits add up over the calls of a context; another context has its own
do
  local spin = assert(script.load("local s = 0 for i = 1, 300000 do s = s + i end", "@spin.lua", env))
  local context, limits, n = {}, { cpu = 20, wall = 60000 }, 0
  repeat
    local ok, e = script.call(context, limits, spin)
    n = n + 1
    if not ok then assert(e.kind == "cpu" and e.message:find("20.0 ms", 1, true), e.message) break end
  until n > 1000
  assert(n > 1 and n < 1000, n)
  assert(script.used(context).cpu >= 20)
  assert(script.call({}, limits, spin))
end

-- trusted bodies aren't metered, and errors in them switch the meter back on
gives("done", "return busy(60)")
do
  local _, ok, value = run("return busy(60)", { cpu = 20 })
  assert(ok and value == "done")
  local _, fine, e = run("pcall(fail) while true do end", { cpu = 20 })
  assert(not fine and e.kind == "cpu")
end

-- what was ended where it can't yield runs no trusted function in its closes, and nothing after one
do
  local ran = {}
  local closed = script.environment { sleep = runtime.sleep, fine = script.trusted(function() ran[#ran + 1] = "trusted" end),
    note = function() ran[#ran + 1] = "note" end }
  local fn = assert(script.load([[
    local first <close> = setmetatable({}, { __close = function() note() end })
    local second <close> = setmetatable({}, { __close = fine })
    string.gsub("a", "a", function()
      pcall(function()
        local third <close> = setmetatable({}, { __close = function() note() end })
        local fourth <close> = setmetatable({}, { __close = fine })
        coroutine.wrap(function() sleep(1) end)()
      end)
    end)]], "@closed.lua", closed))
  local ok, e = script.call({}, nil, fn)
  assert(not ok and e.message:find("it can't wait inside", 1, true) and #ran == 0, table.concat(ran, " "))
end

-- sorting lets others run, and nobody sees it
do
  local before, turns, beating = slice(200), 0, true
  runtime.spawn(function() while beating do turns = turns + 1 runtime.sleep(0) end end)
  local ok, e = script.call({}, { cpu = 60000, wall = 60000 }, assert(script.load([[
    local n = ...
    local t, names = {}, {}
    for i = 1, n do t[i] = i * 7919 % 20011 names[("k%06d"):format(t[i])] = t[i] end
    local in_coroutine = coroutine.wrap(function() table.sort(t) coroutine.yield(1) return 2 end)
    assert(in_coroutine() == 1 and in_coroutine() == 2)
    for i = 2, n do assert(t[i - 1] < t[i]) end
    local last = ""
    for k, v in pairs(names) do assert(last < k and v == tonumber(k:sub(2))) last = k end
    return true]], "@sort.lua", env)), slower > 1 and 10000 or 20000)
  beating = false
  assert(ok, ok or e.message)
  assert(slice(2000) - before > 10 and turns > 10, turns)
  runtime.sleep(1)
end

-- wall time
do
  local _, ok, e = run("sleep(30) sleep(1) while true do end", { wall = 20 })
  assert(not ok and e.kind == "wall", e.message)
end

-- where Lua can't yield nothing can wait
fails("error", "this call waits", 1, "table.concat(setmetatable({}, { __len = function() sleep(1) return 1 end }))")
fails("error", "it can't wait inside", 1, "string.gsub('a', 'a', function() coroutine.wrap(function() sleep(1) end)() end)")
gives("1 2 3", "local t = { 3, 1, 2 } table.sort(t, function(a, b) sleep(1) return a < b end) return table.concat(t, ' ')")

-- a script inside a trusted function inside a script
do
  local inner = assert(script.load("sleep(1) local s = 0 for i = 1, 300000 do s = s + i end return name()", "@inner.lua", env))
  local outer = script.environment {
    name = script.trusted(function() return script.context().name end),
    run = script.trusted(function() return script.call({ name = "inner" }, nil, inner) end),
  }
  local fn = assert(script.load("local a = name() local ok, b = run() return a .. tostring(ok) .. tostring(b) .. name()", "@outer.lua", outer))
  local ok, value = script.call({ name = "outer" }, { wall = 60000 }, fn)
  assert(ok and value == "outertrueinnerouter", tostring(value))
end

-- interleaving: three scripts in slices, each with its own context, coroutines and random numbers
do
  local before = slice(20)
  local fn = assert(script.load([[
    local co = coroutine.wrap(function()
      local n = 0
      while true do for i = 1, 20000 do n = n + 1 end coroutine.yield(n, name()) end
    end)
    local who, first = name(), math.random(1e9)
    for i = 1, 30 do
      local n, inner = co()
      assert(n == i * 20000 and inner == who and name() == who)
    end
    sleep(2)
    local w = coroutine.wrap(function(a) sleep(3) local b = coroutine.yield(a + 1) sleep(2) return slow(3), b end)
    local x = w(1)
    local y, z = w("z")
    assert(x == 2 and y == "slept " .. who and z == "z" and name() == who)
    return who, first
  ]], "@many.lua", env))
  local ended, order, draws = runtime.channel(), {}, {}
  for i = 1, 3 do
    runtime.spawn(function()
      local context = { name = "n" .. i, seed = i, log = {} }
      local ok, who, first = script.call(context, { cpu = 60000, wall = 60000 }, fn)
      order[i], draws[i] = ok and who or who.message, first
      ended:put(true)
    end)
  end
  for _ = 1, 3 do assert(ended:take(60000)) end
  assert(table.concat(order, " ") == "n1 n2 n3", table.concat(order, " "))
  assert(draws[1] ~= draws[2] and draws[2] ~= draws[3])
  assert(slice(2000) - before > 10, "they were not interrupted")
end

-- a coroutine that another call is using can't be resumed
do
  local shared = script.environment { sleep = runtime.sleep, box = {} }
  local make = assert(script.load("box.co = box.co or coroutine.create(function() sleep(20) return 'mine' end) return coroutine.resume(box.co)", "@make.lua", shared))
  local ended, first = runtime.channel(), nil
  runtime.spawn(function() first = table.pack(script.call({}, nil, make)) ended:put(true) end)
  local ok, resumed, why = script.call({}, nil, make)
  assert(ok and resumed == false and why == "cannot resume non-suspended coroutine", tostring(why))
  assert(ended:take(60000))
  assert(first[1] and first[2] and first[3] == "mine")
end
