-- SPDX-License-Identifier: MIT
-- What scripts hand to trusted code: results, error values, tables that they keep. None of it runs a script's code outside
-- its limits, never ends, or reaches another pattern. Each source is a pattern's only reaction for the event "go".
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local world = require "world"

local SLOW = (os.getenv "SRVTHREDS_GC" or require("core.build").build:find "sanitizer") and 5 or 1 -- time for the same work

local LOOP = "(function() while true do end end)"
local HOSTILE = ("setmetatable({ 'ann' }, { __index = %s, __len = %s, __pairs = %s, __eq = %s, __tostring = %s, __name = 'x' })")
  :gsub("%%s", LOOP)
local BUSHY = "(function() local b = {} for _ = 1, 60 do b = { a = b, b = b } end return b end)()"
local BUSHY_LIST = "(function() local b = { 'ann' } for _ = 1, 60 do b = { b, b } end return b end)()"
local LARGE = "(function() return ('x'):rep(500000) end)"
local CYCLE = "(function() local c = {} c[1] = c return c end)()"

local function where(directives) return 'p.where { type = "go" } { ' .. directives .. " }" end
local function on_true(body) return where("on_true = function(event, thred) " .. body .. " end") end

-- name, condition, and what the error says; nil: it goes well.
local CASES = {
  { "a transform of metamethods", where("transform = function() return HOSTILE end, publish = 'ann'"), nil },
  { "a leaf of metamethods", where("transform = { content = function() return { values = HOSTILE } end }, publish = 'ann'"), nil },
  { "a bushy transform", where("transform = function() return BUSHY end, publish = 'ann'"), "the script was ended" },
  { "a bushy leaf", where("transform = { content = function() return BUSHY end }, publish = 'ann'"), "larger than 1020 KiB" },
  { "a transform inside itself", where("transform = function() return CYCLE end, publish = 'ann'"), "contains itself" },
  { "a leaf inside itself", where("transform = { content = function() return CYCLE end }, publish = 'ann'"), "contains itself" },
  { "a leaf of metamethods", where("transform = { content = function() return HOSTILE end }, publish = 'ann'"), nil },
  { "addressees with metamethods", where("transform = { title = 'x' }, publish = function() return HOSTILE end"), nil },
  { "bushy addressees", where("transform = { title = 'x' }, publish = function() return BUSHY_LIST end"), "the script was ended" },
  { "addressees inside themselves", where("transform = { title = 'x' }, publish = function() return CYCLE end"), "contains itself" },
  { "a hole in addressees", where("transform = {}, publish = function() return { 'ann', nil, 'bob' } end"), "nothing at [2]" },
  { "a name in addressees", where("transform = {}, publish = function() return { 'ann', to = 'bob' } end"), "no names (to)" },
  { "too many addressees", where([[transform = { title = 'x' }, publish = function()
    local all = {} for i = 1, 20000 do all[i] = "p" .. i end return all end]]), "more than 2000 addressees" },
  { "a filter's result", 'p.where { type = "go", when = function() return HOSTILE end } {}', "returns true or false" },
  { "on_true's result", on_true "return HOSTILE", nil },
  { "an error of metamethods", on_true "error(HOSTILE)", "an error value that is a table" },
  { "an error with odd fields", on_true "error({ message = {}, code = {}, deliberate = 1, file = HOSTILE })", "an error value" },
  { "an error that is a function", on_true "error(pairs)", "an error value that is a function" },
  { "nothing as an error", on_true "error()", "an error value that is a nil" },
  { "p.fail without a text", on_true "p.fail({}, HOSTILE)", "no message: it is a table" },
  { "p.fail with a hostile code", on_true "p.fail(HOSTILE, 'x')", "on_true: x" },
  { "the metatable of errors", on_true "local _, e = pcall(p.fail, 1, 'x') getmetatable(e).__index = LOOP", "attempt to" },
  { "an error that was changed", on_true "local _, e = pcall(p.fail, 1, 'x') e.message = HOSTILE error(e)", "an error value" },
  { "writing behind thred", on_true "rawset(thred, 'x', {})", "read-only" },
  { "writing behind p", on_true "rawset(p, 'where', 1)", "read-only" },
  { "writing to p", on_true "p.where = 1", "read-only" },
  { "what pairs shows of a library", on_true "local _, lib = pairs(string) lib.rep = LOOP", "read-only" },
  { "what pairs shows of the globals", on_true "local _, globals = pairs(_ENV) globals.x = 1", "can't be assigned" },
  { "a bushy local", on_true "thred.x = BUSHY", "the script was ended" },
  { "bushy locals, caught", on_true "while true do pcall(function() thred.x = BUSHY end) end", "the script was ended" },
  { "a local inside itself", on_true "thred.x = CYCLE", "contains itself" },
  { "a local of metamethods", on_true "thred.x = HOSTILE", nil },
  { "a large local", on_true "local s, all = ('x'):rep(1 << 20), {} for i = 1, 9 do all[i] = s end thred.x = all", "larger than 1020 KiB" },
  { "a local that holds the event many times", on_true [[local all = {} for i = 1, 1000 do all[i] = event end
    local many = {} for i = 1, 1000 do many[i] = all end thred.x = many]], "the script was ended" },
  { "searching a bushy table", on_true "return event.value({ values = BUSHY }, 'x')", "more than 262144 tables" },
  { "leaves that are large together", where("transform = { title = LARGE, description = LARGE, content = { a = LARGE } }, publish = 'ann'"),
    "larger than 1020 KiB" },
  { "a large name", on_true "thred[('x'):rep(1 << 20)] = 1", "larger than 1020 KiB" },
  { "a name that is no text", on_true "thred['\\xff'] = 1", "not UTF-8" },
  { "a large error", on_true "error(('y'):rep(1 << 20))", "yyy…yyy" },
  { "a large failure", on_true "p.fail(5, ('y'):rep(1 << 20))", "yyy…yyy" },
  { "an error that is no text", on_true "error('\\xff\\xfe')", "??" },
  { "an addressee that is no text", where("transform = { title = 'x' }, publish = function() return '\\xff' end"), "UTF-8" },
  { "an addressee without end", where("transform = { title = 'x' }, publish = function() return ('x'):rep(1 << 20) end"), "200 bytes" },
  { "an event that is none", where([[on_true = function(event, thred) thred.kept = { type = "x", source = 7 } end,
    transition = { name = "go", input = "local", local_name = "kept" }]]), "no event under the local" },
  { "an event without a type", where([[on_true = function(event, thred) thred.kept = { type = {} } end,
    transition = { name = "go", input = "local", local_name = "kept" }]]), "no event under the local" },
  { "a transform that isn't JSON", where("transform = function() return { 1, x = 2 } end, publish = 'ann'"), "and named keys" },
  { "a function that isn't the script's", where("on_true = error"), "bad argument" },
  { "a function that yields", where("on_true = coroutine.yield"), "outside a coroutine" },
  { "a function that is an endless coroutine", where("on_true = coroutine.wrap(LOOP)"), "the script was ended" },
  { "a flood of lines", on_true "for _ = 1, 1e6 do log 'x' end", "1000 lines at most" },
  { "a flood of bytes", on_true "for _ = 1, 900 do log(('x'):rep(1000)) end", "256 KiB at most" },
  { "a flood of lines, caught", on_true "for _ = 1, 1e4 do pcall(log, 'x') end", nil },
  { "an empty text repeated", on_true "return (''):rep(1 << 60)", nil },
}

local function source(case)
  local text = case[2]
  for name, code in pairs { HOSTILE = HOSTILE, BUSHY = BUSHY, CYCLE = CYCLE, LOOP = LOOP, LARGE = LARGE, BUSHY_LIST = BUSHY_LIST } do
    text = text:gsub("%f[%w_]" .. name .. "%f[^%w_]", function() return code end)
  end
  return ('p.pattern "Go" { limits = { cpu = %d }, p.reaction "go" {\n%s } }'):format(100 * SLOW, text)
end

-- The neighbour works as ever, and sees nothing that it shouldn't.
local NEIGHBOUR = [[p.pattern "Neighbour" { p.reaction "first" { p.where { type = "look" } {
  on_true = function(event, thred)
    local seen = {}
    for _, name in ipairs { "x", "where" } do seen[#seen + 1] = tostring(thred[name]) end
    thred.seen = table.concat(seen, " ") .. (" %s"):rep(1):format(type(string.rep))
  end,
  transform = { title = "seen" }, publish = "bob",
} } }]]

local function check(w, case)
  local before = #w:dead()
  local began = runtime.ticks()
  local o = w:outcome { type = "go" }
  local took = (runtime.ticks() - began) / 1e6
  local message = o.error and o.error.message
  if case[3] then
    t.eq(o.outcome, "error", case[1])
    t.ok(message:find(case[3], 1, true), ("%s: %s"):format(case[1], message))
    local dead = w:dead()
    t.eq(#dead, before + 1, case[1])
    local e = json.decode(dead[#dead].error)
    t.eq({ e.pattern, e.reaction, e.file, e.line >= 2 }, { "go", "go", "test.lua", true }, case[1])
  else
    t.eq(o.outcome, "matched", ("%s: %s"):format(case[1], message))
  end
  t.ok(took < 4000, ("%s took %.0f ms"):format(case[1], took))
end

t.test("what scripts hand to trusted code", function()
  local w = world.new()
  w:pattern(NEIGHBOUR)
  for _, case in ipairs(CASES) do
    w:pattern(source(case))
    check(w, case)
    local o = w:outcome { type = "look" }
    t.eq(o.outcome, "matched", case[1])
    t.eq(w:thred(o.threds[1]).state.locals.seen, "nil nil function", case[1])
  end
  w:close()
end)

t.test("what a script keeps of a template is not what is sent", function()
  local w = world.new()
  w:pattern(([[(function()
    local title, content = { title = "as written" }, { values = { n = 1 } }
    local list = { "go" }
    local sent = { title = title.title, content = content }
    return p.pattern "Keeps" { p.reaction "go" { p.where { type = p.one_of(list) } {
      on_true = function()
        sent.title, content.values, list[1] = "changed", LOOP, nil
        for _, kept in ipairs { sent, content, list } do setmetatable(kept, { __index = LOOP, __pairs = LOOP, __len = LOOP }) end
      end,
      transform = sent, publish = "ann", transition = "$noTransition",
    } } }
  end)()]]):gsub("LOOP", LOOP))
  local id = w:outcome { type = "go" }.threds[1]
  t.eq(w:outcome { type = "go", thredId = id }.outcome, "matched")
  local got = w:received "ann"
  t.eq(#got, 2)
  for _, event in ipairs(got) do t.eq(json.encode(event.data), '{"content":{"values":{"n":1}},"title":"as written"}') end
  w:close()
end)

return t.finish()
