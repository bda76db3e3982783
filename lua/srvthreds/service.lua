-- SPDX-License-Identifier: MIT
-- A running process: opens the store, starts the services that were asked for, says that it is ready, and drains when it
-- is told to stop.

local docdb = require "core.docdb"
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
local gauges = require "srvthreds.gauges"
local health = require "srvthreds.health"
local live = require "srvthreds.live"
local log_levels = require "srvthreds.log_levels"
local patterns = require "srvthreds.engine.patterns"
local pressure = require "srvthreds.pressure"
local profile_documents = require "srvthreds.profile.documents"
local profiles = require "srvthreds.profile"
local records = require "core.records"
local registry = require "srvthreds.session.registry"
local scripts = require "srvthreds.agent.scripts"
local script = require "core.script"
local session_http = require "srvthreds.session.http"
local session_ws = require "srvthreds.session.websocket"
local version = require "srvthreds.version"

local CLOSE_GRACE_MS = 2000
local SECRET_BYTES = 32
local ANSWER_ROOM = 1000 -- what an answer has beside its results
local PERSISTENCE = { id = "org.wt.persistence1", file = "/agents/persistence.lua" }

local service = {}
service.__index = service

local log = logs.logger { module = "service" }

local function fail(message) error(codes.error(codes.client, message), 0) end

local function is_loopback(bind)
  return bind == "localhost" or bind == "::1" or bind:match "^127%." ~= nil
end

local function in_data(config, url)
  return (url:gsub("DATA", function() return config.data end))
end

local function store_url(config) return in_data(config, config.store) end

-- Texts such as your-secret-key-change-me stand in examples.
local function is_weak(secret)
  local lower, letters, different = secret:lower(), {}, 0
  for letter in secret:gmatch "." do
    if not letters[letter] then letters[letter], different = true, different + 1 end
  end
  return #secret < SECRET_BYTES or different < 8 or lower:find "secret" or lower:find "change" or lower:find "your"
end

-- Whoever can be reached from elsewhere signs with a secret that nobody guesses.
local function check_secrets(config)
  if is_loopback(config.bind) then return end
  for _, key in ipairs { "auth.secret", "auth.refresh_secret" } do
    local secret = config[key]
    if secret and is_weak(secret) then
      fail(("%s is too short or known to everybody, and %s is not a loopback address: set %d bytes or more, for example of "
        .. "`openssl rand -hex 32`"):format(key, config.bind, SECRET_BYTES))
    end
  end
end

local function open_logs(config)
  logs.configure { format = config["log.format"] or "auto", service = "srvthreds" }
  log_levels.set(config["log.level"])
end

local function open_store(self)
  local config = self.config
  local ok, e = runtime.mkdirs(config.data)
  if not ok then fail(e) end
  self.store, self.queue = stores.open {
    url = store_url(config), queue = config.queue, dedup_keep = config["dedup.keep"], inbox_keep = config["inbox.keep"],
    records_keep = config["records.keep"], cache_bytes = self.limits.cache // 2, queue_bytes = self.limits.queue,
  }
  self.pressure = pressure.new {
    limit = self.limits.limit, scripts = self.limits.scripts, queued = self.limits.queue, queue = self.queue,
  }
end

-- docdb is the host that tasks get when they name none; docdb.hosts are NAME=URL.
local function open_docdb(self)
  local config = self.config
  local hosts = { { name = "default", url = in_data(config, config.docdb) } }
  for _, host in ipairs(config["docdb.hosts"]) do
    local name, url = host:match "^([^=]+)=(.+)$"
    if not name then fail(("docdb.hosts: %s isn't NAME=URL"):format(host)) end
    hosts[#hosts + 1] = { name = name, url = in_data(config, url) }
  end
  self.docdb = docdb.open {
    hosts = hosts, databases = config["docdb.databases"], timeout = config["docdb.timeout"], keep = config["dedup.keep"],
    result_max = config["limits.event_size"] - ANSWER_ROOM, folder = config.data,
  }
  self.records = records.open(self.store, {
    timeout = config["docdb.timeout"], result_max = config["limits.event_size"] - ANSWER_ROOM,
  })
end

local function close_docdb(self)
  if self.docdb then self.docdb:close() end
  if self.records then self.records:close() end
end

local function open_directory(self)
  self.directory = directory.new()
  self.directory:load(self.store)
  self.auth = auth.new { data = self.config.data, dev_tokens = self.dev_tokens, directory = self.directory }
  self.auth.bearer = auth.bearer
end

-- Leaves an audit record and waits until it, and so everything before it, is on disk.
local function record(self, what)
  local durable = runtime.channel()
  self.store:on_durable(function(list)
    for _, fn in ipairs(list) do fn() end
  end)
  what.who, what.at = "srvthreds", runtime.now()
  self.store:audit(what, function() durable:put(true) end)
  durable:take()
end

-- The profile that was asked for, else the one in the store, else the verb's default for an empty store.
local function load_profile(self, asked, default)
  local last = bootstrap.loaded(self.store)
  local name = asked or last and last.name or default
  if not name then return end
  self.profile = profiles.load(name, {
    folders = self.config.profiles, shipped = self.shipped, agents = self.config.agents,
  })
  for _, warning in ipairs(self.profile.warnings) do log.warn("profile", { profile = name, err = warning }) end
  if asked or not last then
    local done = bootstrap.run(self.store, self.profile, { db = self.docdb })
    if done.done then
      record(self, { what = "bootstrap", target = name })
      log.info("bootstrapped", { profile = name, patterns = #done.patterns, participants = done.participants })
    end
  end
end

local function pause_options(self)
  local config = self.config
  return { after = config["pause.after"], within = config["pause.within"], events = config["pause.events"],
    waiting = config["pause.waiting"] }
end

-- Bootstrap made them; the documents may be others by now. Where there is one already nothing is done.
local function declare_indexes(self)
  local ok, e = pcall(profile_documents.declare, self.docdb, self.profile and self.profile.indexes or {})
  if not ok and not self.stopping then log.warn("index", { profile = self.profile.name, err = e }) end
end

local function start_engine(self)
  self.patterns = patterns.new(self.store)
  self.patterns:load()
  self.registry = registry.new(self.directory)
  self.engine = engine.new {
    store = self.store, queue = self.queue, patterns = self.patterns, directory = self.directory,
    push = function(who, id, bytes) self.registry:push(who, id, bytes) end,
    pressure = self.pressure, records = self.records,
    pauses = pause_options(self),
  }
end

-- The profile's own agent of this name takes its place.
local function start_persistence(self)
  if self.profile and self.profile.agents and self.profile.agents.persistence then return end
  local file = self.shipped .. PERSISTENCE.file
  local source, e = runtime.read_file(file)
  if not source then fail(e) end
  self.agents:start { id = PERSISTENCE.id, file = file, source = source }
end

local function start_agents(self)
  self.scripts = scripts.new { docdb = self.docdb, folder = self.profile and self.profile.path .. "/scripts" }
  self.agents = agents.new { store = self.store, queue = self.queue, directory = self.directory, docdb = self.docdb,
    pauses = pause_options(self) }
  self.agents.pauses:load()
  function self.engine.also_failed() self.agents.pauses:failed() end
  local names = {}
  for name, agent in pairs(self.profile and self.profile.agents or {}) do
    if agent.file then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local a = self.profile.agents[name]
    local source, e = runtime.read_file(a.file)
    if not source then fail(e) end
    self.agents:start { id = a.id, file = a.file, source = source, config = a.config }
  end
  start_persistence(self)
  for address, target in pairs(self.profile and self.profile.addresses or {}) do
    if not self.directory:alias(address, target) then
      log.warn("profile", { err = ("addresses.%s: no agent of this process is %s"):format(address, target) })
    end
  end
end

local function start_live(self)
  local folders, agent_folders = {}, { self.shipped .. "/agents" }
  for _, folder in ipairs(self.profile and self.profile.pattern_folders or {}) do folders[#folders + 1] = folder end
  for _, folder in ipairs(self.config.patterns) do folders[#folders + 1] = folder end
  for _, folder in ipairs(self.config.agents) do agent_folders[#agent_folders + 1] = folder end
  if self.profile then agent_folders[#agent_folders + 1] = self.profile.path .. "/agents" end
  self.live = live.new { store = self.store, engine = self.engine, folders = folders, agents = self.agents,
    agent_folders = agent_folders, scripts = self.scripts }
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

-- Bodies that were too large to be read: refused before anything of ours saw them.
local function count_refused(self, refused)
  local total = 0
  for _, server in ipairs(self.servers) do total = total + server.too_large end
  refused:add(total - (self.too_large or 0))
  self.too_large = total
end

local function listen(self)
  local config = self.config
  local limits = { size = config["limits.event_size"], depth = config["limits.depth"] }
  local sessions = {
    store = self.store, queue = self.queue, auth = self.auth, registry = self.registry, limits = limits,
    version = version.string, pressure = self.pressure, refused = metrics.counter "srvthreds_events_refused_total",
    wait_for = function(n, fn) return self.engine:wait_for(n, fn) end, waiting = 0, waiting_bytes = 0,
  }
  local api = admin.new { engine = self.engine, store = self.store, queue = self.queue, live = self.live, agents = self.agents,
    auth = self.auth, directory = self.directory, version = version.string }
  self.health = health.new { service = "srvthreds", version = version.string }
  self.health:check("store", function() return self.store:ready() end)
  self.health:check("docdb", function() return self.docdb:ready() end)
  self.health:collect(gauges.collector {
    store = self.store, queue = self.queue, directory = self.directory, patterns = self.patterns,
    pauses = self.engine.pauses, agents = self.agents, registry = self.registry, pressure = self.pressure,
  })
  self.health:note("memory", function() return self.pressure:summary() end)
  self.health:note("patterns", function() return self.engine.pauses:summary() end)
  self.health:note("agents", function() return self.agents.pauses:summary() end)
  self.health:collect(function() count_refused(self, sessions.refused) end)
  local function on_health(req) return self.health:handle(req) end
  local function on_admin(req) return api:handle(req) end
  local function on_session(req) return session_http.handle(sessions, req) end
  local websockets = { ["/ws"] = session_ws.handlers(sessions), ["/api/live"] = api:websocket() }
  local function open(key, what, ...)
    local done, server = pcall(net.listen, {
      host = config.bind, port = config[key], on_request = handler(self, ...), websockets = websockets,
      origins = config["auth.origins"],
      limits = {
        body_size = config["limits.event_size"], message_size = config["limits.event_size"],
        connections = config["limits.connections"], send_queue = config["limits.send_queue"],
      },
    })
    if not done then
      local e = codes.of(server)
      error(codes.error(e.code, ("%s: %s; another address is --bind, another port --%s"):format(key, e.message,
        (key:gsub("[._]", "-")))), 0)
    end
    self.servers[#self.servers + 1] = server
    self.ports[what] = server.port
  end
  open("engine.port", "engine", on_health, on_admin)
  open("session.port", "session", on_health, on_session)
  open("session.http_port", "session_http", on_health, on_session)
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

-- All listeners at once: nobody is accepted any more, who is there is told.
local function drain(self)
  local drained = runtime.channel()
  for _, server in ipairs(self.servers) do
    runtime.spawn(function()
      server:drain(CLOSE_GRACE_MS)
      drained:put(true)
    end)
  end
  for _ = 1, #self.servers do drained:take() end
end

---Stops: not ready at once, no new connections, clients are told, what is in flight is committed, then the end.
function service:stop(code)
  if self.stopping then return end
  self.stopping = true
  self.health:drain()
  script.watch(self.config["scripts.watchdog"])
  log.info("stopping", {})
  if self.live then self.live:close() end
  if self.agents then self.agents:stop() end
  drain(self)
  close_docdb(self)
  if self.pressure then self.pressure:close() end
  if self.store then self.store:close() end
  for _, server in ipairs(self.servers) do server:close(0) end
  log.info("stopped", {})
  runtime.stop(code or 0)
end

local function start(self, options)
  open_logs(self.config)
  self.limits = pressure.limits(self.config)
  script.maxima { total = self.limits.scripts }
  script.watch(self.config["scripts.watchdog"])
  open_store(self)
  open_docdb(self)
  load_profile(self, options.profile, options.default_profile)
  open_directory(self)
  start_engine(self)
  start_agents(self)
  self.engine:start()
  start_live(self)
  listen(self)
  runtime.spawn(declare_indexes, self)
  runtime.on_signal(function() self:stop(0) end)
  script.watch(self.config["scripts.watchdog"], true) -- a start and an end may take their time
  say_ready(self)
end

---Runs until it is stopped by a signal; call it as the task of the verb.
---@param options table { config = resolved keys, services, profile = name|nil, default_profile = name|nil,
---  dev = boolean, shipped = the folder of the program's own lua/, run-profiles/ and agents/ }
function service.run(options)
  local self = setmetatable({
    config = options.config, shipped = options.shipped, servers = {}, ports = {},
    began = runtime.ticks(),
  }, service)
  local bind = self.config.bind
  self.dev_tokens = self.config["auth.dev_tokens"] or options.dev and is_loopback(bind)
  if self.dev_tokens and not is_loopback(bind) then
    fail(("auth.dev_tokens works on a loopback address only, not on %s"):format(bind))
  end
  check_secrets(self.config)
  local ok, e = xpcall(start, function(e) return type(e) == "string" and debug.traceback(e) or e end, self, options)
  if ok then return self end
  for _, server in ipairs(self.servers) do server:close(0) end
  close_docdb(self)
  if self.store then self.store:close() end
  error(e, 0)
end

return service
