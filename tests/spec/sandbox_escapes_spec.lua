-- SPDX-License-Identifier: MIT
-- Ways out that worked elsewhere (escapes.lua): each is refused with its reason, leaves nothing, and the next one finds the
-- same environment as the first.
local t = require "srvthreds.spec"
local json = require "core.json"
local load = require "srvthreds.pattern.load"
local runtime = require "core.runtime"
local escapes = require "escapes"
local seen = require "seen"
local world = require "world"

-- Time is counted: what should reach its error must not be ended before it.
local SLOW = os.getenv "SRVTHREDS_GC" and 60 or require("core.build").build:find "sanitizer" and 4 or 1

-- The walk of another pattern: everything that it can reach, as one text.
local WATCHER = ([[(function()
  local null = p.null
  %s
  return p.pattern "Watcher" { limits = { cpu = 2000 }, p.reaction "watch" { p.where { type = "watch" } {
    on_true = function(event, thred)
      thred.seen = table.concat(walk({ { "ENV", _ENV }, { "p", p }, { "cjson", require "cjson" } }, { ROOT = true }), "\n")
      thred.works = ("x"):rep(3) .. ("%%d"):format(7) .. #require("cjson").encode { 1 }
    end,
  } } }
end)()]]):format(seen.WALK)

local function watch(w)
  local o = w:outcome { type = "watch" }
  t.ok(o.outcome == "matched", o.error and o.error.message)
  local locals = w:thred(o.threds[1]).state.locals
  t.eq(locals.works, "xxx73")
  return locals.seen
end

local function message_of(w, escape)
  if escape.file then
    local pattern, problems = world.task(function() return load.load(escape.file, "test.lua") end)
    t.eq(pattern, nil)
    return problems[1].message
  end
  w:pattern(([[p.pattern "Escape" { limits = { cpu = %d, memory = "8MB" }, p.reaction "go" { p.where { type = "go" } {
    on_true = function(event, thred) %s
    end } } }]]):format(30 * SLOW, escape.code))
  local o = w:outcome { type = "go" }
  t.eq(o.outcome, "error", escape.code)
  local dead = w:dead()
  local e = json.decode(dead[#dead].error)
  t.eq({ e.pattern, e.reaction, e.file, math.type(e.line) }, { "escape", "go", "test.lua", "integer" }, escape.code)
  return o.error.message
end

t.test("ways out that worked elsewhere", function()
  local w = world.new()
  w:pattern(WATCHER)
  local first, sources = watch(w), {}
  for _, escape in ipairs(escapes) do
    local began = runtime.ticks()
    local message = message_of(w, escape)
    local took = (runtime.ticks() - began) / 1e6
    t.ok(escape.file or message:find "test.lua:%d+: ", message)
    -- Where everything is collected again and again the stack grows at each turn, and its calls are counted before it is full.
    local ended = os.getenv "SRVTHREDS_GC" and escape.says:find("overflow", 1, true) and message:find "more than %d+ calls"
    t.ok(ended or message:find(escape.says, 1, true), ("%s\n%s\nsaid %s"):format(escape.from, escape.code or "(a file)", message))
    t.ok(took < 5000, ("%s took %.0f ms"):format(escape.from, took))
    t.eq(watch(w), first, escape.from)
    if escape.from:find "^CVE%-%d+%-%d+" or escape.from:find "^[%w.-]+%.%a+/" then sources[escape.from] = true end
  end
  t.eq(#w:threds {}, 0)
  local count = 0
  for _ in pairs(sources) do count = count + 1 end
  t.ok(count >= 60, ("%d public sources"):format(count))
  w:close()
end)

return t.finish()
