-- SPDX-License-Identifier: MIT
-- Health and metrics, the same on every port: /health/live, /health/ready (aliases /livez /readyz /healthz, ?verbose
-- lists the checks), /metrics.
--
-- Live looks at nothing else: the process answers. Ready is the conjunction of the checks, and false first on shutdown.

local json = require "core.json"
local codes = require "srvthreds.engine.codes"
local metrics = require "core.metrics"

local health = {}
health.__index = health

local ROUTES = {
  ["/health/live"] = "live", ["/livez"] = "live", ["/healthz"] = "live",
  ["/health/ready"] = "ready", ["/readyz"] = "ready", ["/metrics"] = "metrics",
}

---@param options { service: string?, version: string?, ready: (fun(): boolean, string?)? }? ready: the first check
function health.new(options)
  options = options or {}
  local self = setmetatable({ service = options.service, version = options.version, checks = {}, collectors = {}, notes = {} }, health)
  if options.ready then self:check("service", options.ready) end
  return self
end

---@param name string
---@param fn fun(): boolean, string? true, or false and why not; never waits
function health:check(name, fn) self.checks[#self.checks + 1] = { name = name, fn = fn } end

---Something that is not as it should be but keeps nobody from being served: shown with the checks, it fails none.
---@param name string
---@param fn fun(): string? what it is and what to do, nil if all is well; never waits
function health:note(name, fn) self.notes[#self.notes + 1] = { name = name, fn = fn } end

---fn sets gauges that are looked at only when somebody asks.
function health:collect(fn) self.collectors[#self.collectors + 1] = fn end

---From now on not ready: the shutdown has begun.
function health:drain() self.draining = true end

---@return boolean ready, { name: string, ok: boolean, reason: string? }[] checks
function health:ready()
  local all, list = true, {}
  local function add(name, ok, reason)
    all = all and ok
    list[#list + 1] = { name = name, ok = ok, reason = not ok and reason or nil }
  end
  if self.draining then add("shutdown", false, "the process is shutting down") end
  for _, check in ipairs(self.checks) do
    local called, ok, reason = pcall(check.fn)
    if not called then ok, reason = false, ok end
    if type(reason) == "table" then reason = reason.message end
    add(check.name, ok and true or false, reason and tostring(reason) or nil)
  end
  return all, list
end

local function wants(req, name)
  return req.query ~= nil and req.query[name] ~= nil
end

local function answer(req, ok, body)
  req:respond(ok and 200 or 503, json.encode(body), { ["Cache-Control"] = "no-store" })
end

local function live(self, req)
  local body = { status = "ok" }
  if wants(req, "verbose") then
    body.service, body.version, body.checks = self.service, self.version, json.array {}
  end
  answer(req, true, body)
end

local function notes(self)
  local list = {}
  for _, note in ipairs(self.notes) do
    local called, text = pcall(note.fn)
    if called and text then list[#list + 1] = ("%s: %s"):format(note.name, text) end
  end
  return list[1] and json.array(list) or nil
end

local function ready(self, req)
  local ok, checks = self:ready()
  local body = { status = ok and "ok" or "not ready", notes = notes(self) }
  local failed = {}
  for _, check in ipairs(checks) do
    if not check.ok then failed[#failed + 1] = check.name .. (check.reason and ": " .. check.reason or "") end
  end
  if not ok then body.reason = table.concat(failed, "; ") end
  if wants(req, "verbose") then
    body.service, body.version, body.checks = self.service, self.version, json.array(checks)
  end
  answer(req, ok, body)
end

local function show_metrics(self, req)
  for _, fn in ipairs(self.collectors) do pcall(fn) end
  req:respond(200, metrics.text(), { ["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8" })
end

local HANDLERS = { live = live, ready = ready, metrics = show_metrics }

---@return boolean true if the path is one of these
function health:handle(req)
  local what = ROUTES[req.path]
  if not what then return false end
  if req.method ~= "GET" and req.method ~= "HEAD" then
    local e = { code = codes.client, message = req.path .. " takes GET" }
    req:respond(405, json.encode { error = e }, { Allow = "GET, HEAD" })
    return true
  end
  HANDLERS[what](self, req)
  return true
end

return health
