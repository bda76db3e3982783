-- SPDX-License-Identifier: MIT
-- A running process: opens the store, starts the services that were asked for, says that it is ready, and drains when it
-- is told to stop.

local json = require "core.json"
local logs = require "core.log"
local metrics = require "core.metrics"
local net = require "core.net"
local runtime = require "core.runtime"
local stores = require "core.store"
local admin = require "srvthreds.admin"
local agents = require "srvthreds.agent.runner"
local auth = require "srvthreds.auth"
local bootstrap = require "srvthreds.bootstrap"
local codes = require "srvthreds.engine.codes"
local directory = require "srvthreds.directory"
local engine = require "srvthreds.engine"
local health = require "srvthreds.health"
local live = require "srvthreds.live"
local patterns = require "srvthreds.engine.patterns"
local profiles = require "srvthreds.profile"
local registry = require "srvthreds.session.registry"
local session_http = require "srvthreds.session.http"
local session_ws = require "srvthreds.session.websocket"
local version = require "srvthreds.version"

local CLOSE_GRACE_MS = 2000

local service = {}
service.__index = service

local log = logs.logger { module = "service" }

local function fail(message) error(codes.error(codes.client, message), 0) end

local function is_loopback(bind)
  return bind == "localhost" or bind == "::1" or bind:match "^127%." ~= nil
end

local function store_url(config)
  local url = config.store
  return (url:gsub("DATA", function() return config.data end))
end

local function open_store(self)
  local config = self.config
  local ok, e = runtime.mkdirs(config.data)
  if not ok then fail(e) end
  self.store, self.queue = stores.open {
    url = store_url(config), queue = config.queue, dedup_keep = config["dedup.keep"], inbox_keep = config["inbox.keep"],
  }
end

local function open_directory(self)
  self.directory = directory.new()
  self.directory:load(self.store)
  self.auth = auth.new { data = self.config.data, dev_tokens = self.dev_tokens, directory = self.directory }
  self.auth.bearer = auth.bearer
end

local function load_profile(self)
  local name = self.profile_name or self.store:meta "profile.name"
  if not name then return end
  self.profile = profiles.load(name, { folders = self.config.profiles, shipped = self.shipped })
  if self.profile_name then bootstrap.run(self.store, self.profile, {}) end
end

local function start_engine(self)
  self.patterns = patterns.new(self.store)
  self.patterns:load()
  self.registry = registry.new(self.directory)
  self.watchers = {}
  self.engine = engine.new {
    store = self.store, queue = self.queue, patterns = self.patterns, directory = self.directory,
    push = function(who, id, bytes) self.registry:push(who, id, bytes) end,
    watch = function(kind, item)
      for fn in pairs(self.watchers) do fn(kind, item) end
    end,
  }
end

local function agent_file(self, name)
  local folders = { self.profile.path .. "/agents" }
  table.move(self.config.agents, 1, #self.config.agents, 2, folders)
  folders[#folders + 1] = self.shipped .. "/agents"
  for _, folder in ipairs(folders) do
    local path = folder .. "/" .. name .. ".lua"
    local source = runtime.read_file(path)
    if source then return path, source end
  end
  fail(("agent %s: there is no %s.lua in %s"):format(name, name, table.concat(folders, ", ")))
end

local function register_agents(self)
  self.agents = agents.new { store = self.store, queue = self.queue, directory = self.directory }
  local names = {}
  for name in pairs(self.profile and self.profile.agents or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local a = self.profile.agents[name]
    local path, source = agent_file(self, name)
    self.agents:start { id = a.id, file = path, source = source, config = a.config }
  end
end

local function start_live(self)
  local folders = {}
  if self.profile then folders[1] = self.profile.path .. "/patterns" end
  for _, folder in ipairs(self.config.patterns or {}) do folders[#folders + 1] = folder end
  self.live = live.new { store = self.store, engine = self.engine, folders = folders, agents = self.agents }
  self.live:start()
end

-- Each port answers what is its own, and health and metrics.
local function handler(self, ...)
  local handles = { ... }
  return function(req)
    for _, handle in ipairs(handles) do
      if handle(req) then return end
    end
    req:respond(404, json.encode { error = { code = codes.not_found, message = ("there is nothing at %s"):format(req.path) } })
  end
end

local function listen(self)
  local config = self.config
  local limits = { size = config["limits.event_size"], depth = config["limits.depth"] }
  local sessions = {
    store = self.store, queue = self.queue, auth = self.auth, registry = self.registry, limits = limits,
    version = version.string, refused = metrics.counter "srvthreds_events_refused_total",
    wait_for = function(n, fn) return self.engine:wait_for(n, fn) end,
  }
  local api = admin.new { engine = self.engine, store = self.store, queue = self.queue, live = self.live, auth = self.auth,
    directory = self.directory, watchers = self.watchers, registry = self.registry, version = version.string }
  self.health = health.new { ready = function() return self:ready() end }
  local function on_health(req) return self.health:handle(req) end
  local function on_admin(req) return api:handle(req) end
  local function on_session(req) return session_http.handle(sessions, req) end
  local websockets = { ["/ws"] = session_ws.handlers(sessions) }
  local function open(port, what, ...)
    local server = net.listen {
      host = config.bind, port = port, on_request = handler(self, ...), websockets = websockets,
      limits = { body = config["limits.event_size"], message = config["limits.event_size"] },
    }
    self.servers[#self.servers + 1] = server
    self.ports[what] = server.port
  end
  open(config["engine.port"], "engine", on_health, on_admin)
  open(config["session.port"], "session", on_health, on_session)
  open(config["session.http_port"], "session_http", on_health, on_session)
end

---@return boolean ready, string? why not
function service:ready()
  if self.stopping then return false, "stopping" end
  return self.store:ready()
end

local function say_ready(self)
  local config = self.config
  local profile = self.profile and self.profile.name or nil
  log.info("ready", {
    engine_port = self.ports.engine, session_port = self.ports.session, session_http_port = self.ports.session_http,
    bind = config.bind, profile = profile, store = store_url(config), version = version.string,
    duration_s = (runtime.ticks() - self.began) / 1e9,
  })
  if self.dev_tokens then
    log.warn("development tokens are on: a participant's id is accepted as its token (loopback only)", {})
  end
end

---Stops: not ready at once, no new connections, clients are told, what is in flight is committed, then the end.
function service:stop(code)
  if self.stopping then return end
  self.stopping = true
  log.info("stopping", {})
  if self.live then self.live:close() end
  if self.agents then self.agents:stop() end
  for _, server in ipairs(self.servers) do server:close(CLOSE_GRACE_MS) end
  if self.store then self.store:close() end
  log.info("stopped", {})
  runtime.stop(code or 0)
end

local function start(self)
  open_store(self)
  load_profile(self)
  open_directory(self)
  start_engine(self)
  register_agents(self)
  self.engine:start()
  start_live(self)
  listen(self)
  runtime.on_signal(function() self:stop(0) end)
  say_ready(self)
end

---Runs until it is stopped by a signal; call it as the task of the verb.
---@param options table { config = resolved keys, services, profile = name|nil, dev = boolean,
---  shipped = folder with run-profiles/ and agents/ }
function service.run(options)
  local self = setmetatable({
    config = options.config, profile_name = options.profile, shipped = options.shipped, servers = {}, ports = {},
    began = runtime.ticks(),
  }, service)
  local bind = self.config.bind
  self.dev_tokens = self.config["auth.dev_tokens"] or options.dev and is_loopback(bind)
  if self.dev_tokens and not is_loopback(bind) then
    fail(("auth.dev_tokens works on a loopback address only, not on %s"):format(bind))
  end
  local ok, e = xpcall(start, function(e) return type(e) == "string" and debug.traceback(e) or e end, self)
  if ok then return self end
  for _, server in ipairs(self.servers) do server:close(0) end
  if self.store then self.store:close() end
  error(e, 0)
end

return service
