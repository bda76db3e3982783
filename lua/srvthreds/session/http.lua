-- SPDX-License-Identifier: MIT
-- The session agent's HTTP API: POST /event and POST /values/:thredId?/:re?

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local accept = require "srvthreds.session.accept"

local http = {}

local STATUS = { [4000] = 400, [4101] = 401, [4102] = 401, [4200] = 400, [4202] = 400, [5201] = 404, [5202] = 409, [5203] = 404 }

local function respond_error(req, raised, status)
  local e = codes.of(raised)
  req:respond(status or STATUS[e.code] or 503, json.encode { error = { code = e.code, message = e.message } })
end

-- "2s" or ms; at most a minute, so that nobody holds a connection for ever.
local function wait_ms(req)
  local w = req.query.wait
  if not w then return nil end
  local n, unit = w:match "^(%d+%.?%d*)(%a*)$"
  local factor = ({ [""] = 1, ms = 1, s = 1000, m = 60000 })[unit or "?"]
  if not n or not factor then error(codes.error(codes.argument, ("wait=%s is no duration: for example wait=2s"):format(w)), 0) end
  return math.min(math.tointeger(tonumber(n) * factor // 1), 60000)
end

local function outcome_answer(id, result)
  return { id = id, outcome = result.outcome, threds = json.array(result.threds or {}), error = result.error }
end

-- One answer, whichever comes first: the outcome, or the end of the wait.
local function answer_with_outcome(agent, req, id, n, ms, channel)
  local stop = agent.wait_for(n, function(result) channel:put(result) end)
  local got = channel:take(ms)
  stop()
  if got and got.failed then return respond_error(req, got.failed, 503) end
  req:respond(200, json.encode(outcome_answer(id, got or { outcome = "pending" })))
end

local function take(agent, req, who, event)
  local ms = wait_ms(req)
  local doc = accept.prepare(event, { id = who.id }, runtime.now())
  local channel = runtime.channel()
  local status, info = accept.queue(agent.queue, doc, function(err)
    if err then
      channel:put { failed = err }
    elseif not ms then
      channel:put { done = true }
    end
  end)
  if status == "duplicate" then
    local answer = ms and outcome_answer(doc.id, { outcome = "duplicate", threds = info.threds }) or { id = doc.id }
    return req:respond(200, json.encode(answer))
  end
  if ms then return answer_with_outcome(agent, req, doc.id, info, ms, channel) end
  local got = channel:take()
  if got.failed then return respond_error(req, got.failed, 503) end
  req:respond(200, json.encode { id = doc.id })
end

local function values_event(body, thred_id, re)
  return {
    type = "org.wt.session", thredId = thred_id, re = re,
    data = { content = { valuesType = "values", values = body } },
  }
end

local function unescape(s)
  return s and (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

---@return boolean true if the path was one of ours
function http.handle(agent, req)
  local thred_id, re
  local is_values = req.path == "/values" or req.path:match "^/values/"
  if req.path ~= "/event" and not is_values then return false end
  if is_values then thred_id, re = req.path:match "^/values/([^/]+)/?([^/]*)$" end
  if req.method ~= "POST" then
    respond_error(req, codes.error(codes.client, ("%s takes POST"):format(req.path)), 405)
    return true
  end
  local who = agent.auth:check(agent.auth.bearer(req))
  if not who then
    respond_error(req, codes.error(codes.unauthorized, "no valid token: send Authorization: Bearer TOKEN"), 401)
    return true
  end
  local ok, e = pcall(function()
    local body = json.decode(req.body, agent.limits)
    if is_values then
      body = values_event(body, unescape(thred_id), re ~= "" and unescape(re) or nil)
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
