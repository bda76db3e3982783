-- SPDX-License-Identifier: MIT
-- The session agent's HTTP API: POST /event and POST /values/:thredId?/:re?

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local durations = require "srvthreds.durations"
local accept = require "srvthreds.session.accept"

local http = {}

local STATUS = { [4000] = 400, [4101] = 401, [4102] = 401, [4200] = 400, [4202] = 400, [5201] = 404, [5202] = 409, [5203] = 404 }

-- Events of requests that wait for room are held in memory; what would be more is told to come again.
local WAITING, WAITING_BYTES = 4096, 32 << 20
local MORE = { [401] = { ["WWW-Authenticate"] = "Bearer" }, [405] = { Allow = "POST" }, [503] = { ["Retry-After"] = "1" } }

local function respond_error(req, raised, status)
  local e = codes.of(raised)
  status = status or STATUS[e.code] or 503
  req:respond(status, json.encode { error = { code = e.code, message = e.message } }, MORE[status])
end

-- accept.queue, but not without bound.
local function queue(agent, doc, size, durable)
  if agent.waiting >= WAITING or agent.waiting_bytes + size > WAITING_BYTES then
    error(codes.error(codes.server, "more is sent than can be taken now: send it again, with the same id"), 0)
  end
  agent.waiting, agent.waiting_bytes = agent.waiting + 1, agent.waiting_bytes + size
  local ok, status, info = pcall(accept.queue, agent.queue, doc, durable)
  agent.waiting, agent.waiting_bytes = agent.waiting - 1, agent.waiting_bytes - size
  if not ok then error(status, 0) end
  return status, info
end

-- "2s" or ms; at most a minute, so that nobody holds a connection for ever.
local function wait_ms(req)
  local w = req.query.wait
  if not w then return nil end
  local ms = durations.parse(w)
  if not ms then error(codes.error(codes.argument, ("wait=%s is no duration: for example wait=2s"):format(w)), 0) end
  return math.min(ms, 60000)
end

local function outcome_answer(id, result)
  return { id = id, outcome = result.outcome, threds = json.array(result.threds or {}), error = result.error }
end

-- Waits for what becomes of event n. Returns nil when the time is over first.
local function wait_outcome(agent, n, ms, channel)
  local stop = agent.wait_for(n, function(result) channel:put { result = result } end)
  local deadline = runtime.now() + ms
  local got
  repeat
    got = channel:take(math.max(0, deadline - runtime.now()))
  until not got or got.failed or got.result
  stop()
  return got
end

local function take(agent, req, who, event)
  local ms = wait_ms(req)
  local doc = accept.prepare(event, { id = who.id }, runtime.now())
  local channel = runtime.channel()
  local got
  local status, info = queue(agent, doc, #req.body, function(err) channel:put { failed = err } end)
  if status == "accepted" and ms then
    got = wait_outcome(agent, info, ms, channel) or { result = { outcome = "pending" } }
  else
    got = channel:take() -- on disk; a duplicate too is answered when the first is
    if ms then got.result = { outcome = "duplicate", threds = info.threds } end
  end
  if got.failed then return respond_error(req, got.failed, 503) end
  req:respond(200, json.encode(ms and outcome_answer(doc.id, got.result) or { id = doc.id }))
end

local function values_event(body, thred_id, re)
  return {
    type = "org.wt.session", thredId = thred_id, re = re,
    data = { content = { valuesType = "values", values = body } },
  }
end

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

-- The two parts behind /values, "" where there is none; ids may hold an escaped slash, so the path as it was sent counts.
local function values_path(req)
  local thred_id, re = req.url:match "^[^?]*/values/?([^/?]*)/?([^/?]*)%f[?\0]"
  if thred_id then return unescape(thred_id), unescape(re) end
end

---@param agent table { queue, auth, limits, refused, wait_for, waiting = 0, waiting_bytes = 0 }
-- Not read, not queued: the same request again, a little later, is as good.
local function refuse_for_now(agent, req)
  agent.refused:add()
  local e = { code = codes.server, message = "too much is waiting to be processed: send it again in a second" }
  req:respond(503, json.encode { error = e }, { ["Retry-After"] = "1" })
  return true
end

---@return boolean true if the path was one of ours
function http.handle(agent, req)
  local thred_id, re
  local is_values = req.path == "/values" or req.path:match "^/values/"
  if req.path ~= "/event" and not is_values then return false end
  if is_values then thred_id, re = values_path(req) end
  if is_values and not thred_id then
    respond_error(req, codes.error(codes.client, "the path is /values, /values/THRED or /values/THRED/RE"), 400)
    return true
  end
  if req.method ~= "POST" then
    respond_error(req, codes.error(codes.client, ("%s takes POST"):format(req.path)), 405)
    return true
  end
  if agent.pressure then
    agent.pressure:touch()
    if agent.pressure.high then return refuse_for_now(agent, req) end
  end
  local who = agent.auth:check(agent.auth.bearer(req))
  if not who then
    respond_error(req, codes.error(codes.unauthorized, "no valid token: send Authorization: Bearer TOKEN"), 401)
    return true
  end
  local ok, e = pcall(function()
    local body = json.decode(req.body, agent.limits)
    if is_values then
      body = values_event(body, thred_id ~= "" and thred_id or nil, re ~= "" and re or nil)
    end
    take(agent, req, who, body)
  end)
  if not ok then
    agent.refused:add()
    respond_error(req, e)
  end
  return true
end

return http
