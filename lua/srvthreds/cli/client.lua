-- SPDX-License-Identifier: MIT
-- How verbs talk to a running system: the admin API, and the addresses of sessions. Everything waits: in a task only.
local json = require "core.json"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local client = {}

local TIMEOUT_MS = 10000

---@return string "http://127.0.0.1:8082", from the key of a port
function client.address(call, scheme, port_key)
  local host = call.config.values.server
  if host:find(":", 1, true) and host:sub(1, 1) ~= "[" then host = "[" .. host .. "]" end
  return ("%s://%s:%d"):format(scheme, host, call.config.values[port_key])
end

---Does the error say that nobody is there? Then it may be there later.
---@return srvthreds.cli.Problem
function client.unreachable(address, cause)
  local message = type(cause) == "table" and cause.message or tostring(cause)
  message = message:gsub("^cannot connect to %S+: ", "") -- the address is named already
  return problem.new("unreachable", ("nothing answers at %s: %s"):format(address, message),
    { hint = "is it running? `srvthreds dev` starts it; --server and the ports say where it is" })
end

local function escape(text)
  return (tostring(text):gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---A path with its parts escaped: path("threds", id, "terminate").
---@return string
function client.path(...)
  local parts = { ... }
  for i, part in ipairs(parts) do parts[i] = escape(part) end
  return "/api/" .. table.concat(parts, "/")
end

---@return string "" or "?name=value&…", escaped
local function query_text(query)
  local names, out = {}, {}
  for name in pairs(query or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do out[#out + 1] = name .. "=" .. escape(query[name]) end
  return out[1] and "?" .. table.concat(out, "&") or ""
end

local function token_of(call)
  local values = call.config.values
  if values.admin_token then return values.admin_token, call.config.sources.admin_token end
  local path = values.data .. "/admin.token"
  local text = runtime.read_file(path)
  return text and text:match("^%s*(.-)%s*$"), path
end

local no_token_hint = "set SRVTHREDS_ADMIN_TOKEN or SRVTHREDS_ADMIN_TOKEN_FILE, or name the system's data folder by --data"

local function refusal(status, body, asked)
  local told = type(body) == "table" and type(body.error) == "table" and body.error or {}
  local message = told.message or ("HTTP status %d"):format(status)
  if status == 401 or status == 403 then
    return problem.new("no_token", ("%s: %s"):format(asked, message), { hint = no_token_hint })
  end
  if status == 404 then return problem.new("not_found", message) end
  if status == 409 then return problem.new("refused", message) end
  if status == 503 then return problem.new("unreachable", ("%s: not ready: %s"):format(asked, message)) end
  return problem.new("failed", message)
end

---Sends a request and gives the decoded body; raises a problem for anything but success.
---@param call srvthreds.cli.Call
---@param method string
---@param path string
---@param options { query: table?, body: any, timeout_ms: integer? }?
function client.admin(call, method, path, options)
  options = options or {}
  local net = require "core.net"
  local address = client.address(call, "http", "engine.port")
  local token = token_of(call)
  local headers = { ["Content-Type"] = "application/json" }
  if token then headers.Authorization = "Bearer " .. token end
  local ok, answer = pcall(net.request, { method = method, url = address .. path .. query_text(options.query),
    headers = headers, body = options.body and json.encode(options.body), timeout_ms = options.timeout_ms or TIMEOUT_MS })
  if not ok then error(client.unreachable(address, answer), 0) end
  local decoded, body = pcall(json.decode, answer.body)
  if answer.status >= 300 then error(refusal(answer.status, decoded and body, method .. " " .. path), 0) end
  if not decoded then
    problem.raise("failed", ("%s answered %s with something that is no JSON"):format(address, path),
      { hint = "is another program listening there?" })
  end
  return body
end

---The items of a list, page by page, up to `limit`.
---@return table[] items, any after where the next page begins, or nil
function client.list(call, path, query, limit)
  local items, page = {}
  query = query or {}
  repeat
    query.limit = math.min(limit - #items, 1000)
    page = client.admin(call, "GET", path, { query = query })
    table.move(page.items, 1, #page.items, #items + 1, items)
    query.after = page.after ~= json.null and page.after or nil
  until not query.after or #page.items == 0 or #items >= limit
  return items, query.after, page
end

---The token of a participant: yours, or its id where that is taken for one.
---@return string token
function client.token(call, participant)
  return call.config.values.token or participant
end

---The live feed and sessions.
---@return table connection of core.net
function client.websocket(call, port_key, path, options)
  local net = require "core.net"
  return net.connect(client.address(call, "ws", port_key) .. path, options)
end

client.admin_token = token_of
client.query = query_text

return client
