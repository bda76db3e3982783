-- SPDX-License-Identifier: MIT
-- The system's own collections: what they show of a whole engine's work, that the keys only narrow, and that they give the
-- same answers as the same documents in a collection of their own.
local t = require "srvthreds.spec"
local docdb = require "core.docdb"
local json = require "core.json"
local records = require "core.records"
local runtime = require "core.runtime"
local directory = require "srvthreds.directory"
local world = require "world"

local PATTERNS = {
  [[p.pattern "Duo" {
    p.reaction "first" { p.where { type = "go" } {
      on_true = function(event, thred) thred.n = event:value "n" end, transform = { title = "hi" }, publish = "bob" } },
    p.reaction "second" { p.where { type = "on" } { publish = { "cid", "$group0" }, transform = { title = "second" } } },
    p.reaction "third" { p.where { type = "bad" } { on_true = function() error("broken on purpose") end } },
    p.reaction "fourth" { p.where { type = "end" } { transition = "$terminate" } },
  }]],
  [[p.pattern "Solo" { max_instances = 1,
    p.reaction "one" { p.where { type = "go" } { publish = { "bob", "nobody" }, transform = { title = "x" } } },
    p.reaction "two" { p.where { type = "on" } {} } }]],
  [[p.pattern "Parent" {
    p.reaction "start" { p.where { type = "family" } { spawn = { names = { "Child" }, context = true },
      on_true = function(event, thred) thred.tags = { "a", "b" } end, transition = "$noTransition" } } }]],
  [[p.pattern "Child" {
    p.reaction "late" { expiry = { after = "1m", transition = "$terminate" }, p.where { type = "grow" } {} } }]],
  [[p.pattern "Both" {
    p.reaction "both" { p.all { p.where { type = "left" } {}, p.where { type = "right" } {} } { transition = "$terminate" } },
  }]],
}

local COLLECTIONS = { "events", "log", "threds", "archive", "dead", "audit", "patterns", "users", "config" }

local function ask(db, op, kind, params, database)
  params = params or {}
  params.type, params.matcher = kind, params.matcher or {}
  local r, e = world.task(function()
    return db:run { { op = op, params = params, options = database and { dbname = database } or nil } }
  end)
  if e then return nil, e end
  return json.copy(r)[1]
end

local function fields(list, name)
  local values = {}
  for i, d in ipairs(list) do values[i] = d[name] == nil and "-" or d[name] end
  return values
end

local function small()
  local w = world.new()
  for _, source in ipairs(PATTERNS) do w:pattern(source) end
  return w, records.open(w.store)
end

local BY_N = { sort = { { field = "n" } } }
local NEWEST = { sort = { { field = "n", desc = true } } }

t.test("all events of a thred, in order", function()
  local w, db = small()
  local id = w:outcome { type = "go", id = "a1", values = { n = 5 } }.threds[1]
  w:outcome { type = "go", id = "a2" }
  w:outcome { type = "on", id = "a3", thredId = id }
  w:outcome { type = "wrong", id = "a4", thredId = id, source = "cid" }
  local all = ask(db, "get", "events", { matcher = { threds = id }, collector = BY_N })
  t.eq(fields(all, "type"), { "go", "org.wt.tell", "on", "org.wt.tell", "wrong" })
  t.eq(fields(all, "direction"), { "in", "out", "in", "out", "in" })
  t.eq(fields(all, "outcome"), { "matched", "-", "matched", "-", "not_matched" })
  t.eq(fields(all, "source"), { "ann", "SYSTEM", "ann", "SYSTEM", "cid" })
  t.eq(all[1].targets, { "start:duo", "start:solo" })
  t.eq({ all[4].to, all[4].people }, { { "cid", "$group0" }, { "cid", "ann", "bob" } })
  t.eq(all[1].event.data.content.values.n, 5)
  t.eq(all[1].at, "2026-09-21T14:13:20.000Z")
  t.eq(ask(db, "count", "events", { matcher = { threds = id, type = "on" } }), 1)
  t.eq(ask(db, "count", "events", { matcher = { threds = "no such" } }), 0)
  local two = { ["$in"] = json.array { id, "no such", all[1].threds[2] } }
  t.eq(ask(db, "count", "events", { matcher = { threds = two } }), 6, "an event of two threds counts once")
  db:close()
  w:close()
end)

t.test("the last event for a participant", function()
  local w, db = small()
  w:outcome { type = "go", id = "a1" }
  local id = w:outcome { type = "go", id = "a2" }.threds[1]
  w:outcome { type = "on", id = "a3", thredId = id }
  local last = ask(db, "getOne", "events", { matcher = { people = "cid" }, collector = NEWEST })
  t.eq({ last.event.data.title, last.event.causedBy }, { "second", "a3" })
  t.eq(ask(db, "getOne", "events", { matcher = { people = "dee" }, collector = NEWEST }), json.null)
  local titles = {}
  for i, d in ipairs(ask(db, "get", "events", { matcher = { people = "bob" }, collector = NEWEST })) do
    titles[i] = d.event.data.title
  end
  t.eq(titles, { "second", "hi", "x", "hi" })
  db:close()
  w:close()
end)

t.test("a participant's threds, live and archived", function()
  local w, db = small()
  local ended = w:outcome { type = "go", id = "a1" }.threds[1]
  local live = w:outcome { type = "go", id = "a2", source = "cid" }.threds[1]
  for _, kind in ipairs { "on", "bad", "end" } do w:outcome { type = kind, thredId = ended, source = "dee" } end
  world.task(function() w.queue:settle({}, { messages = { { topic = "engine", target = "transition:" .. ended,
    body = { to = "fourth", by = "root", at = runtime.now() } } } }, {}) end)
  w:outcome { type = "end", thredId = ended, source = "dee" }
  local own = { matcher = { participants = "dee" } }
  t.eq(fields(ask(db, "get", "threds", own), "id"), {})
  local gone = ask(db, "get", "archive", own)
  t.eq({ fields(gone, "id"), gone[1].status, gone[1].ended }, { { ended }, "terminated", "2026-09-21T14:13:20.000Z" })
  t.eq(fields(ask(db, "get", "threds", { matcher = { participants = "cid" } }), "id"), { live })
  t.eq(ask(db, "count", "threds", { matcher = { participants = "bob", status = "active", pattern = "duo" } }), 1)
  t.eq(ask(db, "getOne", "archive", { matcher = { id = ended } }).reaction, "fourth")
  db:close()
  w:close()
end)

t.test("why an event did or did not match", function()
  local w, db = small()
  local id = w:outcome { type = "go", id = "a1" }.threds[1]
  local function told(event)
    local source = event.source or "ann"
    w:outcome(event)
    return ask(db, "getOne", "events", { matcher = { id = event.id, source = source } })
  end
  local e = told { type = "wrong", id = "b1", thredId = id }
  t.eq({ e.outcome, e.log, e.threds }, { "not_matched", { { outcome = "not_matched", from = "second", to = "second" } }, { id } })
  e = told { type = "on", id = "b2", thredId = id }
  t.eq({ e.outcome, e.log }, { "matched", { { outcome = "matched", from = "second", to = "third" } } })
  e = told { type = "bad", id = "b3", thredId = id }
  t.eq({ e.outcome, e.error.code, e.error.reaction }, { "error", 5000, "third" })
  e = told { type = "left", id = "b4" }
  t.eq({ e.outcome, ask(db, "getOne", "threds", { matcher = { id = e.threds[1] } }).remembered }, { "partial", { "1" } })
  t.eq(told({ type = "nothing", id = "b5", source = "cid" }).outcome, "no_pattern")
  t.eq(told({ type = "x", id = "b6", thredId = "no such" }).outcome, "no_thred")
  w:outcome { type = "go", id = "b7" }
  local refused = ask(db, "getOne", "log", { matcher = { event = "b7", outcome = "refused" } })
  t.eq({ refused.pattern, refused.refused }, { "solo", "max" })
  local line = ask(db, "get", "log", { matcher = { thred = id }, collector = { sort = { { field = "step" } } } })
  t.eq(fields(line, "event"), { "a1", "b1", "b2" })
  t.eq(fields(line, "from"), { "first", "second", "second" })
  t.eq(ask(db, "getOne", "dead", { matcher = { event = "b3" } }).target, "thred:" .. id)
  db:close()
  w:close()
end)

t.test("patterns, users, config and audit", function()
  local w, db = small()
  world.task(function()
    directory.save(w.store, { participants = { ann = { roles = { "admin" } }, bob = {} },
      groups = { g = { "ann", "cid" }, h = { "ann" } } })
    w.store:meta("profile", json.encode { name = "test" })
    w.store:meta("of somebody else", "secret")
    w.store:audit { what = "pattern.pause", who = "root", target = "duo", at = runtime.now() }
  end)
  local by_id = { sort = { { field = "id" } } }
  local users = ask(db, "get", "users", { collector = by_id })
  t.eq(fields(users, "id"), { "ann", "bob", "cid" })
  t.eq({ users[1].roles, users[1].groups, users[2].roles, users[3].groups }, { { "admin" }, { "g", "h" }, {}, { "g" } })
  t.eq(ask(db, "get", "users", { matcher = { roles = "admin" }, selector = { include = { "id" } } }), { { id = "ann" } })
  t.eq(ask(db, "get", "config"), { { id = "profile", value = { name = "test" } } })
  local audit = ask(db, "get", "audit")
  t.eq({ audit[1].what, audit[1].who, audit[1].target, audit[1].id }, { "pattern.pause", "root", "duo", "1" })
  local pattern = ask(db, "getOne", "patterns", { matcher = { pattern = "duo", active = true } })
  t.eq({ pattern.file, pattern.enabled, pattern.files[1].path }, { "test.lua", true, "test.lua" })
  t.ok(pattern.files[1].source:find("Duo", 1, true))
  db:close()
  w:close()
end)

t.test("read only, and only what there is", function()
  local w, db = small()
  local function refused(op, params, options, code, text)
    local _, e = world.task(function() return db:run { { op = op, params = params, options = options } } end)
    t.eq(e.code, code, e.message)
    t.ok(e.message:find(text, 1, true), e.message)
  end
  local any = { type = "threds", matcher = {}, values = { a = 1 } }
  for _, op in ipairs { "put", "update", "upsert", "replace", "delete" } do refused(op, any, nil, 4200, "srvthreds threds terminate") end
  refused("get", { type = "thred", matcher = {} }, nil, 4200, "did you mean threds?")
  refused("get", { type = "cars", matcher = {} }, nil, 4200, "there are events, log, threds, archive")
  refused("get", any, { dbname = "srvthreds" }, 4101, "dbname")
  t.eq(ask(db, "count", "threds", {}, records.database), 0)
  t.raises(function() world.task(function() db:index { type = "events", field = "type" } end) end, "indexes that they have")
  local nested, e = world.task(function()
    return db:run { json.array { { op = "count", params = { type = "patterns", matcher = {} } },
      { op = "getOne", params = { type = "threds", matcher = {} } } }, { op = "get", params = { type = "dead", matcher = {} } } }
  end)
  t.eq({ json.encode(nested), e }, { "[[5,null],[]]" })
  world.task(function() w.store:close() end)
  local _, closed = ask(db, "count", "events")
  t.eq(closed.code, 5000)
  db:close()
end)

t.test("an answer has its limits", function()
  local w = world.new()
  w:pattern(PATTERNS[1])
  for i = 1, 200 do w:send { type = "go", values = { n = i, text = ("x"):rep(1000) } } end
  local db = records.open(w.store, { result_max = 20000 })
  local _, e = ask(db, "get", "events")
  t.eq(e.code, 5200)
  t.ok(e.message:find("collector.limit", 1, true), e.message)
  t.eq(#ask(db, "get", "events", { collector = { limit = 5 } }), 5)
  local last = ask(db, "get", "events", { matcher = { direction = "in" }, selector = { include = { "event.data.content.values.n" } },
    collector = { sort = { { field = "event.data.content.values.n", desc = true } }, skip = 10, limit = 3 } })
  local n = {}
  for i, d in ipairs(last) do n[i] = d.event.data.content.values.n end
  t.eq(n, { 190, 189, 188 })
  db:close()
  w:close()
end)

-- A collection's row of the page: its fields and keys, in order.
local function documented(page, name)
  local fields_text, keys_text = page:match("\n| `" .. name .. "` |[^|]*|([^|]*)|([^|]*)|")
  local function words(text)
    local list = {}
    for word in (text or ""):gmatch "%w+" do list[#list + 1] = word end
    return list
  end
  return words(fields_text), words(keys_text)
end

t.test("the documents are as the page says", function()
  local page = assert(runtime.read_file "docs/documents.md")
  for _, name in ipairs(COLLECTIONS) do
    local c = assert(records.collections()[name], name)
    t.eq({ documented(page, name) }, { c.fields, c.keys }, name)
  end
end)

-- The same as in a collection of their own --------------------------------------------------------------------------

local DATES = { at = true, started = true, reacted = true, due = true, ended = true }

local function dated(doc)
  for name in pairs(DATES) do
    if doc[name] then doc[name] = { ["$date"] = doc[name] } end
  end
  return doc
end

-- What happens at random, some of it long before the rest.
local function history(rng)
  local w = world.new { inbox_keep = 3600000 }
  for _, source in ipairs(PATTERNS) do w:pattern(source) end
  local kinds = { "go", "on", "bad", "end", "family", "grow", "left", "right", "nothing", "on", "end" }
  local people, seen = { "ann", "bob", "cid", "dee" }, {}
  for i = 1, 240 do
    local thred = rng(3) > 1 and #seen > 0 and seen[rng(#seen)] or nil
    local o = w:outcome { type = kinds[rng(#kinds)], thredId = thred, source = people[rng(4)],
      values = { n = rng(9), x = rng(4) / 2, tags = { "t" .. rng(3), rng(5) }, deep = { a = rng(2) == 1 and json.null or "b" } } }
    for _, id in ipairs(o.threds or {}) do seen[#seen + 1] = id end
    if i % 60 == 0 then w:advance(rng(3600000)) end
  end
  world.task(function()
    directory.save(w.store, { participants = { ann = { roles = { "admin" } }, bob = {} }, groups = { g = { "ann", "cid" } } })
    w.store:audit { what = "a", who = "root", target = "duo", at = runtime.now() }
    w.store:audit { what = "b", who = "ann", before = { n = 1 }, after = { n = 2 }, at = runtime.now() }
  end)
  return w
end

-- The paths of a document that lead to something, with what they lead to.
local function paths(doc, prefix, list)
  for key, value in pairs(doc) do
    if type(key) == "string" then
      local path = prefix .. key
      list[#list + 1] = { path, value }
      if type(value) == "table" and not json.is_array(value) and not value["$date"] then paths(value, path .. ".", list) end
    end
  end
  return list
end

local function sorted_paths(doc)
  local list = paths(doc, "", {})
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local OPERATORS = { "$gt", "$gte", "$lt", "$lte", "$ne" }

local function condition(rng, value, other)
  local kind = rng(10)
  if json.is_array(value) and #value > 0 and rng(3) > 1 then value = value[rng(#value)] end
  if kind <= 4 then return value end
  if kind == 5 then return { ["$in"] = json.array { value, other } } end
  if kind == 6 then return { ["$exists"] = rng(2) == 1 } end
  if kind == 7 and type(value) == "string" then return { ["$re"] = "^" .. value:sub(1, 2):gsub("%W", ".") } end
  if kind == 8 then return { ["$not"] = { ["$in"] = json.array { value } } } end
  return { [OPERATORS[rng(#OPERATORS)]] = value }
end

local function matcher(rng, docs, depth)
  local m = {}
  for _ = 1, rng(2) do
    local list, others = sorted_paths(docs[rng(#docs)]), sorted_paths(docs[rng(#docs)])
    local one = list[rng(#list)]
    if rng(3) == 1 then one = list[rng(math.min(#list, 6))] end
    m[one[1]] = condition(rng, one[2], others[rng(#others)][2])
  end
  if depth < 2 and rng(5) == 1 then
    m[rng(2) == 1 and "$or" or "$and"] = json.array { matcher(rng, docs, depth + 1), matcher(rng, docs, depth + 1) }
  end
  return m
end

local function collector(rng, docs, unique)
  if rng(2) == 1 then return nil end
  local sort = json.array {}
  local list = sorted_paths(docs[rng(#docs)])
  local path = list[rng(#list)]
  if rng(2) == 1 and path[1] ~= unique and not json.is_array(path[2]) and type(path[2]) ~= "table" then
    sort[1] = { field = path[1], desc = rng(2) == 1 }
  end
  sort[#sort + 1] = { field = unique, desc = rng(2) == 1 }
  return { sort = sort, skip = rng(3) == 1 and rng(6) or nil, limit = rng(3) == 1 and rng(10) or nil }
end

local function shown(list)
  local texts = {}
  for i, d in ipairs(list) do
    d.created, d.modified = nil, nil
    texts[i] = json.encode(d)
  end
  return texts
end

local function compare(view, own, rng, kind, docs)
  local unique = docs[1].n and kind ~= "log" and "n" or "id"
  local params = { matcher = matcher(rng, docs, 0), collector = collector(rng, docs, unique) }
  local what = ("%s %s"):format(kind, json.encode(params))
  local a, e = ask(view, "get", kind, params)
  local b, f = ask(own, "get", kind, params)
  t.eq(e and e.message, f and f.message, what)
  if e then return 0 end
  local x, y = shown(a), shown(b)
  if not params.collector then
    table.sort(x)
    table.sort(y)
  end
  t.eq(x, y, what)
  t.eq(ask(view, "count", kind, params), ask(own, "count", kind, params), what)
  return #a
end

t.test("the same answers as from a collection of their own", function()
  local seed = tonumber(os.getenv "SRVTHREDS_SEED" or "1")
  local state = seed * 7919
  local function rng(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n + 1
  end
  local w = history(rng)
  local view = records.open(w.store)
  local own = docdb.open { hosts = { { name = "default", url = "memory:" } }, databases = { "srvthreds" } }
  local kept, found = {}, 0
  for _, kind in ipairs(COLLECTIONS) do
    local list = ask(view, "get", kind)
    for i, doc in ipairs(list) do list[i] = dated(doc) end
    if #list > 0 then
      kept[#kept + 1] = { kind, list }
      local _, e = ask(own, "put", kind, { values = list })
      t.eq(e, nil)
    end
  end
  t.ok(#kept >= 7, "collections with documents")
  for _ = 1, 500 do
    local one = kept[rng(#kept)]
    if rng(2) == 1 then one = kept[1] end
    found = found + compare(view, own, rng, one[1], one[2])
  end
  t.ok(found > 1000, "few matchers match: " .. found)
  own:close()
  view:close()
  w:close()
end)

return t.finish()
