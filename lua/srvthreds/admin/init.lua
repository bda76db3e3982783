-- SPDX-License-Identifier: MIT
-- The admin API (agents page, "Engine"): looking at a running system and acting on it. Role admin is needed for
-- everything. What it shows is committed; an action answers when it is durable, and leaves an audit record.

local json = require "core.json"
local runtime = require "core.runtime"
local codes = require "srvthreds.engine.codes"
local api = require "srvthreds.admin.api"
local auths = require "srvthreds.auth"
local feed = require "srvthreds.admin.feed"

local admin = {}
admin.__index = admin

local RESOURCES = { "threds", "patterns", "agents", "events", "dead", "stats", "log", "live" }

local function routes()
  local list = {}
  for _, name in ipairs(RESOURCES) do
    for _, route in ipairs(require("srvthreds.admin." .. name)) do list[#list + 1] = route end
  end
  return api.compile(list)
end

---@class srvthreds.AdminOptions
---@field engine table
---@field store table
---@field queue table
---@field agents table? who runs the agents of this process
---@field live srvthreds.Live? without it patterns can't be turned on and off
---@field auth table
---@field directory table
---@field watchers table<function, boolean>? functions that the engine's `watch` calls; nil: `watch` is taken
---@field version string?

---@param options srvthreds.AdminOptions
function admin.new(options)
  local self = setmetatable({
    engine = options.engine, store = options.store, queue = options.queue, live = options.live, agents = options.agents,
    auth = options.auth, directory = options.directory, version = options.version, routes = routes(), started = runtime.now(),
  }, admin)
  self.feed = feed.new(options.engine, options.watchers)
  return self
end

local function may(roles)
  if not roles then return false end
  if roles.admin then return true end
  for _, role in ipairs(roles) do
    if role == "admin" then return true end
  end
  return false
end

---@return table|nil who, integer? status, integer? code, string? message
function admin:authorize(token)
  local ok, who = pcall(self.auth.check, self.auth, token)
  if not ok or not who then
    return nil, 401, codes.login, "no valid token: send Authorization: Bearer TOKEN (DATA/admin.token holds one)"
  end
  if not may(who.roles) then return nil, 403, codes.unauthorized, ("%s has not the role admin"):format(who.id) end
  return who
end

---@return boolean true if the path is one of the admin API
function admin:handle(req)
  if req.path ~= "/api" and req.path:sub(1, 5) ~= "/api/" then return false end
  local who, status, code, message = self:authorize(auths.bearer(req))
  if not who then
    api.respond_error(req, status, code, message)
  else
    api.dispatch(self, self.routes, req, who)
  end
  return true
end

---Handlers of the live feed for the listener's websockets, under the path /api/live.
function admin:websocket() return require "srvthreds.admin.live".websocket(self) end

---Who did what, to what. It and everything done before is durable when this returns; raises if it is lost instead.
---@param call table of the router
---@param record table { what, target, … }
function admin:audit(call, record)
  local channel = runtime.channel()
  record.at, record.who = runtime.now(), call.who
  self.store:audit(record, function(e) channel:put(e or true) end)
  local r = channel:take()
  if r ~= true then error(codes.of(r), 0) end
end

---A message for a thred, with its audit record.
---@param target string "transition:ID", "terminate:ID"
function admin:message(call, target, body, record)
  self.queue:settle({}, { messages = { { topic = "engine", target = target, body = body } } }, {})
  self:audit(call, record)
end

---Stored JSON as a value; what is a value already stays.
function admin.value(v)
  if type(v) == "string" then return json.decode(v) end
  return v
end

return admin
