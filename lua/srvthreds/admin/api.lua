-- SPDX-License-Identifier: MIT
-- The router of the admin API: method and path to a function, JSON in and out.
--
--   route = { "POST", "/api/threds/:id/transition", function(admin, call) … return body, status? end, body = { "to" } }
--   query, body: the keys that it takes; another one is refused, with the nearest of them
--   call  = { id, …: the named parts of the path, query, body (decoded, {} if there is none), who, req }
-- What a function raises becomes {error: {code, message}} with the HTTP status of its code; nil: it answered itself.

local json = require "core.json"
local logs = require "core.log"
local codes = require "srvthreds.engine.codes"
local names = require "srvthreds.pattern.names"

local api = {}

local STATUS = {
  [codes.client] = 400, [codes.argument] = 400, [codes.missing] = 400, [codes.unauthorized] = 403, [codes.login] = 401,
  [codes.not_found] = 404, [codes.no_thred] = 404, [codes.exists] = 409,
}
local NO_STORE = { ["Cache-Control"] = "no-store" }

local log = logs.logger { module = "admin" }

function api.respond(req, status, body) req:respond(status, json.encode(body), NO_STORE) end

function api.respond_error(req, status, code, message, allowed)
  local headers = { Allow = allowed, ["Cache-Control"] = "no-store", ["WWW-Authenticate"] = status == 401 and "Bearer" or nil }
  req:respond(status, json.encode { error = { code = code, message = message } }, headers)
end

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

local function split(path)
  local parts = {}
  for part in path:gmatch "[^/]+" do parts[#parts + 1] = part end
  return parts
end

---@param list table[] routes
---@return table[] compiled
function api.compile(list)
  local compiled = {}
  for i, route in ipairs(list) do
    compiled[i] = { method = route[1], path = route[2], parts = split(route[2]), fn = route[3], query = route.query or {},
      body = route.body or {} }
  end
  return compiled
end

local function match(route, parts)
  if #route.parts ~= #parts then return nil end
  local named = {}
  for i, part in ipairs(route.parts) do
    if part:sub(1, 1) == ":" then
      named[part:sub(2)] = unescape(parts[i])
    elseif part ~= parts[i] then
      return nil
    end
  end
  return named
end

---@return table|nil route, table|nil named, string|nil allowed methods that this path takes, if not this one
local function find(routes, method, path)
  local parts, allowed = split(path), {}
  for _, route in ipairs(routes) do
    local named = match(route, parts)
    if named and route.method == method then return route, named end
    if named then allowed[#allowed + 1] = route.method end
  end
  return nil, nil, #allowed > 0 and table.concat(allowed, ", ") or nil
end

-- The paths without names in them.
local function resources(routes)
  local paths = {}
  for _, route in ipairs(routes) do paths[route.path:match "^[^:]*[^:/]"] = true end
  return paths
end

local function body_of(req)
  if not req.body or req.body == "" then return {} end
  local body = json.decode(req.body)
  if json.kind(body) ~= "object" then error(codes.error(codes.client, "the body is a JSON object"), 0) end
  return body
end

---Ends the call with this error.
---@param code integer
---@param format string
function api.fail(code, format, ...) error(codes.error(code, format:format(...)), 0) end

---Raises for keys that are none of these: whoever misspells one must not get an answer to another question.
---@param given table
---@param known string[]
---@param place string "query" or "body"
function api.check_keys(given, known, place)
  local left = {}
  for key in pairs(given) do left[key] = true end
  for _, key in ipairs(known) do left[key] = nil end
  local key = names.sorted(left)[1]
  if not key then return end
  local near = names.nearest(key, known)
  api.fail(codes.argument, "unknown key %s in the %s%s; it takes %s", key, place, near and (", did you mean %s?"):format(near) or "",
    known[1] and names.join(known, "and") or "none")
end

---A number from the query, within limits.
---@return integer
function api.number(call, name, default, low, high)
  local text = call.query[name]
  if text == nil then return default end
  local n = math.tointeger(tonumber(text))
  if not n or n < low or n > high then
    api.fail(codes.argument, "%s=%s: a whole number from %d to %d is expected", name, text, low, high)
  end
  return n
end

---The pattern that the query asks for, by its id or name.
---@return string? id
function api.pattern(admin, call)
  local wanted, patterns = call.query.pattern, admin.engine.patterns
  local named = wanted and not patterns.actives[wanted] and patterns.names[wanted]
  return named and named.id or wanted
end

---A text of the body that must be there.
---@return string
function api.text(call, name)
  local v = call.body[name]
  if type(v) ~= "string" or v == "" then
    api.fail(codes.missing, 'the body needs {"%s": "…"}', name)
  end
  return v
end

function api.page(items, after) return { items = json.array(items), after = after } end

local function run(admin, route, call)
  local ok, body, status = pcall(function()
    call.body = body_of(call.req)
    api.check_keys(call.query, route.query, "query")
    api.check_keys(call.body, route.body, "body")
    return route.fn(admin, call)
  end)
  if ok then
    if body ~= nil then api.respond(call.req, status or 200, body) end
    return
  end
  local e = codes.of(body)
  if not STATUS[e.code] then log.error("admin call failed", { err = e, path = call.req.path }) end
  api.respond_error(call.req, STATUS[e.code] or 500, e.code, e.message)
end

-- The path as it was sent: an id may hold an escaped slash.
local function sent_path(req)
  local path = req.url and req.url:gsub("^%a+://[^/]*", ""):match "^[^?#]*"
  return path or req.path
end

---Answers a request of somebody who may.
function api.dispatch(admin, routes, req, who)
  local route, named, allowed = find(routes, req.method, sent_path(req))
  if route then
    local call = named
    call.query, call.who, call.req = req.query or {}, who.id, req
    return run(admin, route, call)
  end
  if allowed then return api.respond_error(req, 405, codes.client, ("%s takes %s"):format(req.path, allowed), allowed) end
  local near = names.nearest(req.path, names.sorted(resources(routes)))
  api.respond_error(req, 404, codes.not_found, ("there is no %s %s in the admin API%s"):format(req.method, req.path,
    near and (", did you mean %s?"):format(near) or ""))
end

return api
