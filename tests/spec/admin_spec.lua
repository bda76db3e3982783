-- SPDX-License-Identifier: MIT
-- The admin API on a whole engine in virtual time; health.
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local admin = require "srvthreds.admin"
local health = require "srvthreds.health"
local live = require "srvthreds.live"
local world = require "world"

local DUO = [[p.pattern "Duo" {
  p.reaction "first" { p.where { type = "go" } {
    on_true = function(event, thred) thred.n = 1 end, transform = { title = "hi" }, publish = "bob" } },
  p.reaction "second" { p.where { type = "on" } {} },
  p.reaction "third" { p.where { type = "bad" } {
    on_true = function(event, thred) error("broken on purpose") end } },
}]]

local tokens = { root = { id = "admin", roles = { admin = true } }, ann = { id = "ann", roles = {} } }
local auth = { check = function(_, token) return tokens[token] end }

local function system()
  local w = world.new()
  w.live = live.new { store = w.store, engine = w.engine, folders = {} }
  world.task(function() w.live:start() end)
  w.api = admin.new { engine = w.engine, store = w.store, queue = w.queue, live = w.live, auth = auth,
    directory = w.directory, version = "1" }
  return w
end

local function request(method, path, body, headers)
  local plain, query_text = path:match "^([^?]*)%??(.*)$"
  local query, answer = {}, {}
  for k, v in query_text:gmatch "([^&=]+)=?([^&]*)" do query[k] = v end
  headers = headers or { authorization = "Bearer root" }
  return {
    method = method, path = (plain:gsub("%%2F", "/")), url = path, query = query, body = body and json.encode(body) or "",
    header = function(_, name) return headers[name] end,
    respond = function(_, status, bytes, more)
      assert(not answer.status, "answered twice")
      answer.status, answer.bytes, answer.headers = status, bytes, more or {}
      if bytes:sub(1, 1) == "{" then answer.body = json.decode(bytes) end
    end,
  }, answer
end

local function call(w, method, path, body, headers)
  local req, answer = request(method, path, body, headers)
  runtime.spawn(function() answer.own = w.api:handle(req) end)
  runtime.advance(0)
  return answer.status, answer.body, answer
end

local function get(w, path)
  local status, body = call(w, "GET", path)
  t.eq(status, 200, path)
  return body
end

local function with(fn)
  return function()
    local w = system()
    local ok, e = xpcall(fn, debug.traceback, w)
    w.live:close()
    w:close()
    if not ok then error(e, 0) end
  end
end

t.test("unknown keys are refused, with the nearest; so is an unknown path", with(function(w)
  w:pattern(DUO)
  local id = w:outcome { type = "go" }.threds[1]
  for path, text in pairs {
    ["/api/threds?patern=duo"] = "unknown key patern in the query, did you mean pattern?; it takes pattern, reaction, ",
    ["/api/threds/" .. id .. "?state=x"] = "unknown key state in the query; it takes limit and after",
    ["/api/dead?limits=5"] = "did you mean limit?",
    ["/api/events/x?sorce=ann"] = "did you mean source?",
    ["/api/stats?pattern=duo"] = "unknown key pattern in the query; it takes none",
    ["/api/live?thread=" .. id] = "did you mean thred?",
  } do
    local status, body = call(w, "GET", path)
    t.eq({ status, body.error.code }, { 400, 4200 })
    t.ok(body.error.message:find(text, 1, true), body.error.message)
  end
  for path, body in pairs {
    ["/api/threds/" .. id .. "/transition"] = { to = "second", re = 1 }, ["/api/threds/" .. id .. "/terminate"] = { why = "x" },
    ["/api/patterns/duo/pause"] = { reson = "x" }, ["/api/patterns/reload"] = { x = 1 },
  } do t.eq(call(w, "POST", path, body), 400) end
  t.eq({ w:thred(id).reaction, w:thred(id).status, w.engine.pauses:shown "duo" }, { "second", "active", nil })
  t.eq(w:thred(id).step, 1)
  local _, body = call(w, "GET", "/api/thred")
  t.eq(body.error.message, "there is no GET /api/thred in the admin API, did you mean /api/threds?")
end))

t.test("a token with the role admin is needed for everything", with(function(w)
  local status, body, answer = call(w, "GET", "/api/threds", nil, {})
  t.eq(status, 401)
  t.eq(body.error.code, 4102)
  t.eq(answer.headers["WWW-Authenticate"], "Bearer")
  t.eq(call(w, "GET", "/api/threds", nil, { authorization = "Bearer nonsense" }), 401)
  status, body = call(w, "POST", "/api/threds/x/terminate", nil, { authorization = "Bearer ann" })
  t.eq(status, 403)
  t.eq(body.error.code, 4101)
  t.eq(call(w, "GET", "/api/nothing", nil, {}), 401)
  t.eq(call(w, "GET", "/api/nothing"), 404)
  status, body = call(w, "PUT", "/api/threds")
  t.eq(status, 405)
  t.ok(body.error.message:find("takes GET", 1, true))
  local _, _, other = call(w, "GET", "/event")
  t.eq(other.own, false)
end))

t.test("threds: in pages, filtered, one with its log and events", with(function(w)
  w:pattern(DUO)
  local ids = {}
  for i = 1, 5 do ids[i] = w:outcome({ type = "go" }).threds[1] end
  w:advance(60000)
  local page = get(w, "/api/threds?limit=2")
  t.eq({ #page.items, page.items[1].id, page.items[1].reaction }, { 2, ids[1], "second" })
  page = get(w, "/api/threds?limit=3&after=" .. page.after)
  t.eq({ #page.items, page.items[3].id }, { 3, ids[5] })
  w:outcome { type = "on", thredId = ids[2] }
  t.eq(#get(w, "/api/threds?pattern=duo&reaction=third").items, 1)
  t.eq(#get(w, "/api/threds?pattern=Duo&reaction=third").items, 1)
  t.eq(#get(w, "/api/threds?older_than=30s").items, 4)
  t.eq(#get(w, "/api/threds?pattern=other").items, 0)
  local status, body = call(w, "GET", "/api/threds?limit=0")
  t.eq(status, 400)
  t.eq(body.error.code, 4200)
  t.eq(call(w, "GET", "/api/threds?status=lost"), 400)
  t.eq(call(w, "GET", "/api/threds?older_than=soon"), 400)
  local thred = get(w, "/api/threds/" .. ids[2])
  t.eq(thred.locals.n, 1)
  t.eq(thred.step, 2)
  t.eq({ thred.log[1].outcome, thred.log[1].to, thred.log[2].from, thred.log[2].to }, { "matched", "second", "second", "third" })
  t.eq({ thred.events[1].direction, thred.events[1].event.type, thred.events[2].direction }, { "in", "go", "out" })
  t.ok(json.equal(thred.events[2].people, { "bob" }))
  t.eq(thred.events[3].event.type, "on")
  t.eq(thred.log[2].event, thred.events[3].id)
  status, body = call(w, "GET", "/api/threds/nope")
  t.eq(status, 404)
  t.eq(body.error.code, 5203)
end))

t.test("transition and terminate are steps of the thred, with an audit record", with(function(w)
  w:pattern(DUO)
  local id = w:outcome({ type = "go" }).threds[1]
  local status, body = call(w, "POST", "/api/threds/" .. id .. "/transition", { to = "thrid" })
  t.eq(status, 400)
  t.ok(body.error.message:find("did you mean third?", 1, true))
  t.eq(call(w, "POST", "/api/threds/" .. id .. "/transition", {}), 400)
  status, body = call(w, "POST", "/api/threds/" .. id .. "/transition", { to = "third" })
  t.eq(status, 200)
  t.eq(body.from, "second")
  t.eq(w:thred(id).reaction, "third")
  t.eq(call(w, "POST", "/api/threds/" .. id .. "/terminate"), 200)
  t.eq(w:thred(id).status, "terminated")
  t.eq(get(w, "/api/threds?status=terminated").items[1].id, id)
  t.eq(get(w, "/api/threds/" .. id).status, "terminated")
  status = call(w, "POST", "/api/threds/" .. id .. "/terminate")
  t.eq(status, 409)
  local audits = world.task(function() return w.store:audits {} end)
  local first = json.decode(audits[1].record)
  t.eq({ first.what, first.who, first.target, first.before.reaction, first.after.reaction },
    { "thred.transition", "admin", id, "second", "third" })
  t.eq(json.decode(audits[2].record).what, "thred.terminate")
end))

t.test("events say what became of them and why", with(function(w)
  w:pattern(DUO)
  local id = w:outcome({ id = "g/1", type = "go" }).threds[1]
  local e = get(w, "/api/events/g%2F1")
  t.eq({ e.id, e.outcome, e.threds[1], e.direction }, { "g/1", "matched", id, "in" })
  t.eq(e.why, "it matched: first → second")
  w:outcome { id = "n1", type = "nothing" }
  t.eq(get(w, "/api/events/n1").why, "no pattern's first reaction matches it")
  w:outcome { id = "m1", type = "other", thredId = id }
  t.eq(get(w, "/api/events/m1?source=ann").why, "the thred waits in reaction second, whose condition this event does not meet")
  w:outcome { id = "t1", type = "other", thredId = "lost" }
  t.eq(get(w, "/api/events/t1").outcome, "no_thred")
  local status, body = call(w, "GET", "/api/events/none")
  t.eq({ status, body.error.message }, { 404, "there is no event none" })
  w:pattern((DUO:gsub("Duo", "Trio")))
  local both = w:outcome { id = "s1", type = "go" }
  e = get(w, "/api/events/s1")
  table.sort(both.threds)
  local threds = json.copy(e.threds)
  table.sort(threds)
  t.ok(#threds == 2 and json.equal(threds, both.threds))
  t.ok(e.why:find("start:duo, start:trio", 1, true))
end))

t.test("an event is found by its source, by a thred of it, or for a second wherever it may be", with(function(w)
  w:pattern(DUO)
  local id = w:outcome({ id = "g1", type = "go" }).threds[1]
  w:outcome { id = "g1", type = "go", source = "bob" }
  local out = get(w, "/api/threds/" .. id).events[2]
  t.eq(out.direction, "out")
  for _, how in ipairs { "", "?thred=" .. id } do
    t.eq(get(w, "/api/events/" .. out.id .. how).n, out.n)
    t.eq(get(w, "/api/events/g1" .. how).source, "ann")
  end
  t.eq(get(w, "/api/events/g1?source=bob").source, "bob")
  for _, how in ipairs { "?source=cid", "?source=nobody", "?thred=none", "?thred=" .. id } do
    t.eq(call(w, "GET", "/api/events/" .. (how:find "thred" and "g2" or "g1") .. how), 404)
  end
  local asked, ticks, now = 0, runtime.ticks, 0
  w.api.store = { find_event = function() -- a store without end
    asked = asked + 1
    return nil, asked
  end }
  runtime.ticks = function()
    now = now + 300000000
    return now
  end
  local status, body = call(w, "GET", "/api/events/g1")
  runtime.ticks, w.api.store = ticks, w.store
  t.eq({ status, asked }, { 404, 4 })
  t.ok(body.error.message:find("?thred=", 1, true), body.error.message)
end))

t.test("dead letters: list, show, retry, drop", with(function(w)
  w:pattern(DUO)
  local id = w:outcome({ type = "go" }).threds[1]
  w:outcome { type = "on", thredId = id }
  w:outcome { id = "b1", type = "bad", thredId = id }
  w:outcome { id = "b2", type = "bad", thredId = id }
  local page = get(w, "/api/dead")
  t.eq(#page.items, 2)
  local d = page.items[1]
  t.eq({ d.event.id, d.target, d.pattern, d.reaction }, { "b1", "thred:" .. id, "duo", "third" })
  t.ok(d.error.message:find("broken on purpose", 1, true))
  t.ok(d.at and d.version)
  t.eq(d.attempts, 1)
  t.eq(get(w, "/api/dead/" .. d.id).event.id, "b1")
  t.eq(get(w, "/api/events/b1").why, d.error.message)
  t.eq(get(w, "/api/dead?limit=1").after, d.id)
  t.eq({ #get(w, "/api/dead?pattern=other").items, #get(w, "/api/dead?pattern=duo").items }, { 0, 2 })
  t.eq(get(w, "/api/dead?limit=1&after=" .. d.id).items[1].event.id, "b2")
  t.eq(call(w, "DELETE", "/api/dead/" .. d.id), 200)
  t.eq(call(w, "DELETE", "/api/dead/" .. d.id), 404)
  t.eq(call(w, "GET", "/api/dead/x"), 400)
  local last = get(w, "/api/dead").items[1]
  for attempts = 2, 3 do
    t.eq(call(w, "POST", "/api/dead/" .. last.id .. "/retry"), 200)
    last = get(w, "/api/dead").items[1]
    t.eq({ last.attempts, last.event.id }, { attempts, "b2" })
  end
  w:pattern(DUO:gsub('error%("broken on purpose"%)', "thred.n = 7"))
  t.eq(call(w, "POST", "/api/dead/" .. last.id .. "/retry"), 200)
  t.eq(#get(w, "/api/dead").items, 0)
  t.eq(get(w, "/api/threds/" .. id).locals.n, 7)
  t.eq(call(w, "POST", "/api/dead/" .. last.id .. "/retry"), 404)
end))

t.test("patterns are paged like all lists", with(function(w)
  for _, name in ipairs { "Ada", "Bea", "Cat" } do w:pattern((DUO:gsub("Duo", name))) end
  local first = get(w, "/api/patterns?limit=2")
  local rest = get(w, "/api/patterns?limit=2&after=" .. first.after)
  t.eq({ first.items[1].id, first.items[2].id, rest.items[1].id, #rest.items, rest.after }, { "ada", "bea", "cat", 1, nil })
  t.eq(get(w, "/api/patterns?limit=3").after, nil)
end))

t.test("patterns: versions with their threds, off and on, back", with(function(w)
  local one = w:pattern(DUO).version
  local id = w:outcome({ type = "go" }).threds[1]
  local two = w:pattern((DUO:gsub("hi", "hello"))).version
  w:outcome { type = "go" }
  world.task(function() w.live.active:load() end)
  local list = get(w, "/api/patterns")
  t.eq({ #list.items, list.items[1].id, list.items[1].version, list.items[1].versions, list.items[1].threds },
    { 1, "duo", two, 2, 2 })
  t.eq({ list.items[1].status, #list.problems }, { "active", 0 })
  local p = get(w, "/api/patterns/duo")
  local by_hash = {}
  for _, v in ipairs(p.versions) do by_hash[v.version] = v end
  t.eq({ by_hash[one].threds, by_hash[two].threds, by_hash[two].active }, { 1, 1, true })
  t.eq(p.reactions[1].name, "first")
  t.ok(get(w, "/api/patterns/duo/versions/" .. one).files["test.lua"]:find("Duo", 1, true))
  t.eq(call(w, "GET", "/api/patterns/duo/versions/none"), 404)
  local _, body = call(w, "GET", "/api/patterns/dou")
  t.ok(body.error.message:find("did you mean duo?", 1, true))
  t.eq(call(w, "POST", "/api/patterns/duo/disable"), 200)
  t.eq(get(w, "/api/patterns").items[1].status, "disabled")
  t.eq(w:outcome({ type = "go" }).outcome, "no_pattern")
  t.eq(w:outcome({ type = "on", thredId = id }).outcome, "matched")
  t.eq(call(w, "POST", "/api/patterns/duo/enable"), 200)
  t.eq(w:outcome({ type = "go" }).outcome, "matched")
  t.eq(call(w, "POST", "/api/patterns/duo/rollback", { version = one:sub(1, 8) }), 200)
  t.eq(get(w, "/api/patterns/duo").version, one)
  t.eq(call(w, "POST", "/api/patterns/duo/rollback", { version = "00000000" }), 404)
end))

t.test("stats count what was processed", with(function(w)
  w:pattern(DUO)
  for _ = 1, 20 do w:outcome { type = "go" } end
  w:outcome { type = "nothing" }
  w:advance(1000)
  local s = get(w, "/api/stats")
  t.eq({ s.processed.total, s.processed.outcomes.matched, s.processed.outcomes.no_pattern }, { 21, 20, 1 })
  t.eq(s.rates.steps_per_s_10, 2.1)
  t.eq({ s.store.ready, s.store.counts.active, s.store.counts.dead }, { true, 20, 0 })
  t.ok(s.memory.lua_bytes > 0)
end))

-- What core.net's stream is, to read from: `bytes` of one that reads, `waiting` of one that doesn't.
local function event_stream(w, last, query)
  local req = request("GET", "/api/live" .. (query or ""), nil, { authorization = "Bearer root", ["last-event-id"] = last })
  local stream = { open = true, bytes = "", waiting = 0 }
  function stream:send(bytes)
    if not self.open then return nil end
    self.bytes = self.bytes .. bytes
    self.waiting = self.reads and 0 or self.waiting + #bytes
    return self.waiting
  end
  function stream:queued() return self.waiting end
  function stream:close() self.open = false end
  function stream:leave(why)
    self.open = false
    runtime.spawn(self.on_close, self, why)
  end
  function stream:steps()
    local list = {}
    for id in self.bytes:gmatch "event: step\ndata: {.-\"id\":\"(.-)\"" do list[#list + 1] = id end
    return list
  end
  function stream:last() return self.bytes:match ".*\nid: (%S+)" end
  function req.stream(_, status, headers, on_close)
    stream.status, stream.headers, stream.on_close, stream.reads = status, headers, on_close, true
    return stream
  end
  runtime.spawn(function() w.api:handle(req) end)
  runtime.advance(0)
  return stream
end

t.test("the live feed over server-sent events streams, beats and goes on where it was", with(function(w)
  w:pattern(DUO)
  local s = event_stream(w)
  t.eq({ s.status, s.headers["Content-Type"] }, { 200, "text/event-stream" })
  t.eq(s.bytes:gsub("id: %x+", "id: R"), 'retry: 1000\nid: R.0\nevent: hello\ndata: {"id":"admin","version":"1"}\n\n')
  local id = w:outcome({ id = "e1", type = "go" }).threds[1]
  w:advance(150)
  local entry = json.decode(s.bytes:match "event: step\ndata: (.-)\n\n")
  t.eq({ entry.id, entry.type, entry.outcome, entry.thred, entry.source }, { "e1", "go", "matched", id, "ann" })
  t.eq({ entry.pattern, entry.reaction, entry.to }, { "duo", "first", "second" })
  w:outcome { id = "e2", type = "go" }
  w:advance(150)
  t.eq(s:steps(), { "e1", "e2" })
  local begin, first = s.bytes:match "\nid: (%S+).-\nid: (%S+)"
  w:advance(30000)
  t.eq(select(2, s.bytes:gsub("\n\n:\n\n", "")), 1)
  t.eq(select(2, s.bytes:gsub("\n:\n", "")), 2)
  w:advance(60000)
  t.eq(w.api.feed.count, 1)
  s:leave "gone"
  w:outcome { id = "e3", type = "go" } -- nobody is there now
  w:advance(150)
  local again = event_stream(w, first)
  t.eq(again:steps(), { "e2", "e3" })
  local other = event_stream(w, first) -- the first one is broken, and nobody noticed
  t.eq({ again.open, #other:steps() }, { false, 2 })
  again:leave "gone"
  other:leave "gone"
  other = event_stream(w, begin) -- let go of as they were seen
  t.eq(other:steps(), { "e2", "e3" })
  w:outcome { id = "e4", type = "go" }
  w:advance(150)
  t.eq(other:steps(), { "e2", "e3", "e4" })
  t.ok(not other.bytes:find "gap")
  other:leave "gone"
  w:advance(29000)
  t.eq(w.api.feed.count, 1)
  w:advance(2000)
  t.eq(w.api.feed.count, 0) -- nobody came back
  local late = event_stream(w, other:last())
  t.ok(late.bytes:find "event: gap\ndata: {\"reason\":\"where you were")
  t.eq(event_stream(w, late:last(), "?thred=x").bytes:find "event: gap" ~= nil, true) -- another reader's place is no place
end))

t.test("a slow reader of server-sent events is told how many are missing", with(function(w)
  w:pattern(DUO)
  local s = event_stream(w)
  s.reads, s.waiting = false, 1 << 20
  for i = 1, 1200 do
    w:outcome { id = "e" .. i, type = "go" }
    if i % 20 == 0 then w:advance(100) end -- no faster than the feed tells
  end
  t.eq(#s:steps(), 0)
  s.reads, s.waiting = true, 0
  w:advance(200)
  local steps = s:steps()
  t.eq({ #steps, steps[1], steps[#steps] }, { 1000, "e201", "e1200" })
  t.ok(s.bytes:find('event: dropped\ndata: {"dropped":200}', 1, true))
  t.eq(s:last():match "%.(%d+)", "1200")
  for i = 1201, 1250 do w:outcome { id = "e" .. i, type = "go" } end -- faster than the feed tells
  w:advance(150)
  t.eq(#s:steps(), 1020)
  t.ok(s.bytes:find('event: dropped\ndata: {"dropped":30}', 1, true))
  t.eq(s:last():match "%.(%d+)", "1250")
  local before = s.bytes:match '.*\nid: (%S+)\nevent: step'
  s:leave "slow"
  local again = event_stream(w, before)
  t.eq({ again:steps(), again.bytes:find('{"dropped":30}', 1, true) ~= nil }, { {}, true })
end))

t.test("the live feed over a WebSocket: token, steps, a limit, the end", with(function(w)
  w:pattern(DUO)
  local handlers, sent = w.api:websocket(), {}
  local waiting = 0
  local ws = { send = function(_, bytes) sent[#sent + 1] = json.decode(bytes) end, queued = function() return waiting end,
    close = function(self, code) self.closed = code end }
  handlers.on_open(ws, (request("GET", "/api/live?pattern=duo", nil, {})))
  handlers.on_message(ws, json.encode { token = "ann" })
  t.eq({ sent[1].error.code, ws.closed }, { 4101, 4401 })
  handlers.on_close(ws)
  handlers.on_open(ws, (request("GET", "/api/live?pattern=duo", nil, {})))
  handlers.on_message(ws, json.encode { token = "root" })
  t.ok(sent[2].hello)
  for _ = 1, 50 do w:outcome { type = "go" } end
  w:outcome { type = "nothing" }
  w:advance(150)
  t.eq(#sent[3].steps, 20)
  t.ok(sent[3].dropped >= 30)
  waiting = 2 << 20 -- it doesn't read
  for _ = 1, 3 do w:outcome { type = "go" } end
  w:advance(150)
  t.eq(#sent, 3)
  waiting = 0
  w:outcome { type = "go" }
  w:advance(150)
  t.eq({ #sent[4].steps, sent[4].dropped }, { 1, 3 })
  t.eq(w.api.feed.count, 1)
  handlers.on_close(ws)
  t.eq(w.api.feed.count, 0)
  w:outcome { type = "go" }
  w:advance(150)
  t.eq(#sent, 4)
end))

t.test("health: live, ready, verbose, metrics", function()
  local ok, why = true, nil
  local h = health.new { service = "engine", version = "1", ready = function() return ok, why end }
  local function ask(path)
    local req, answer = request("GET", path)
    t.eq(h:handle(req), true)
    return answer.status, answer.body, answer
  end
  for _, path in ipairs { "/health/live", "/livez", "/healthz", "/health/ready", "/readyz" } do t.eq(ask(path), 200) end
  ok, why = false, "the disk is full"
  local status, body = ask "/health/ready"
  t.eq({ status, body.reason }, { 503, "service: the disk is full" })
  t.eq(ask "/health/live", 200)
  body = select(2, ask "/health/ready?verbose")
  t.eq({ body.checks[1].ok, body.checks[1].reason }, { false, "the disk is full" })
  ok = true
  h:check("odd", function() error("it fell") end)
  status, body = ask "/readyz"
  t.ok(status == 503 and body.reason:find("it fell", 1, true))
  h:drain()
  body = select(2, ask "/readyz")
  t.ok(body.reason:find("shutting down", 1, true))
  local answer = select(3, ask "/metrics")
  t.ok(answer.headers["Content-Type"]:find("^text/plain"))
  t.eq(h:handle((request("GET", "/other"))), false)
end)

return t.finish()
