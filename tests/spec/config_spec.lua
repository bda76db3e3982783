-- SPDX-License-Identifier: MIT
local config = require "srvthreds.config"
local config_docs = require "srvthreds.config_docs"
local nearest = require "srvthreds.nearest"
local runtime = require "core.runtime"
local t = require "srvthreds.spec"

local folder = os.tmpname()
os.remove(folder)
assert(runtime.mkdirs(folder .. "/srvthreds"))
local files = {}

local function file(name, text)
  local path = folder .. "/" .. name
  assert(runtime.write_file(path, text))
  files[#files + 1] = path
  return path
end

local empty = file("empty.lua", "return {}")

local function load(options)
  options.environment = options.environment or {}
  options.file = options.file or empty
  return config.load(options)
end

t.test("the defaults are values of their kinds", function()
  local c = load {}
  t.eq(c.values["session.port"], 3000)
  t.eq(c.values["dedup.keep"], 7 * 86400000)
  t.eq(c.values["limits.event_size"], 1048576)
  t.eq(c.sources["session.port"], "default")
  t.eq(c.values["auth.dev_tokens"], nil)
end)

t.test("flags come before the environment, that before the project file, that before the user's", function()
  file("srvthreds/config.lua", 'return { session = { port = 1, http_port = 1 }, data = "~/user", ["engine.port"] = 1 }')
  local project = file("project.lua", 'return { session = { http_port = 2 }, ["engine.port"] = 2, bind = "${HOST||::1}" }')
  local c = load { file = project, flags = { ["engine.port"] = { "3" } },
    environment = { XDG_CONFIG_HOME = folder, HOME = "/home/ann", SRVTHREDS_ENGINE_PORT = "4",
      SRVTHREDS_SESSION_HTTP_PORT = "4" } }
  t.eq(c.values["session.port"], 1)
  t.eq(c.values.data, "/home/ann/user")
  t.eq(c.values["session.http_port"], 4)
  t.eq(c.values["engine.port"], 3)
  t.eq(c.values.bind, "::1")
  t.eq(c.sources["engine.port"], "flag --engine-port")
  t.eq(c.sources["session.http_port"], "environment SRVTHREDS_SESSION_HTTP_PORT")
  t.eq(c.sources.bind, "file " .. project)
  t.eq(c.sources["session.port"], "file " .. folder .. "/srvthreds/config.lua")
end)

t.test("${VAR||default}: an empty variable counts as unset", function()
  t.eq(config.expand("a ${X} b ${Y||z} c ${E||d} ${N}.", { X = "1", E = "" }), "a 1 b z c d .")
end)

t.test("an unknown key of a file names the nearest and its line", function()
  local path = file("bad.lua", "return {\n  session = {\n    prot = 3,\n  },\n}")
  local e = t.raises(function() load { file = path } end, path .. ":3: session.prot is no key")
  t.eq(e.nearest, "session.port")
  t.eq(e.exit, 2)
end)

t.test("an unknown name in the environment is refused, an orchestrator's passed over", function()
  local e = t.raises(function() load { environment = { SRVTHREDS_ENGINE_PROT = "1" } } end, "SRVTHREDS_ENGINE_PROT")
  t.eq(e.nearest, "SRVTHREDS_ENGINE_PORT")
  load { environment = { SRVTHREDS_SERVICE_HOST = "10.0.0.1", SRVTHREDS_PORT_3000_TCP = "tcp://x", SRVTHREDS_PORT = "tcp:" } }
end)

t.test("a value of the wrong kind says what is expected", function()
  t.raises(function() load { flags = { ["session.port"] = { "70000" } } } end, '"70000" is not a port from 0 to 65535')
  t.raises(function() load { flags = { ["dedup.keep"] = { "soon" } } } end, '"soon" is not a duration')
  t.raises(function() load { flags = { ["dedup.keep"] = { "5s" } } } end, "too little: at least 1m")
  t.raises(function() load { flags = { ["limits.event_size"] = { "2x" } } } end, '"2x" is not a size')
  t.raises(function() load { environment = { SRVTHREDS_AUTH_DEV_TOKENS = "maybe" } } end, "true or false")
  local e = t.raises(function() load { flags = { ["log.level"] = { "info,store=debgu" } } } end, "none of debug, info")
  t.eq(e.nearest, "debug")
  t.raises(function() load { file = file("kind.lua", "return { data = 5 }") } end, "kind.lua:1: data: 5 is not a text")
end)

t.test("a file that can't be used is explained", function()
  t.raises(function() load { file = folder .. "/none.lua" } end, "none.lua")
  t.raises(function() load { file = file("syntax.lua", "return {") } end, "syntax.lua:1")
  t.raises(function() load { file = file("nothing.lua", "local x = 1") } end, "returns nothing, not a table of keys")
  t.raises(function() load { file = file("call.lua", "return os.getenv 'X'") } end, "call.lua:1")
end)

t.test("what later versions bring is refused by name", function()
  t.raises(function() load { flags = { store = { "redis://h" } } } end, "embedded backend only")
  t.raises(function() load { flags = { ["tls.cert"] = { "x.pem" } } } end, "TLS is not in this version")
end)

t.test("secrets come from the environment or a file, and are masked", function()
  local path = file("secret", "s3cret\n")
  local c = load { environment = { SRVTHREDS_TOKEN_FILE = path, SRVTHREDS_ADMIN_TOKEN = "t" } }
  t.eq(c.values.token, "s3cret")
  t.eq(c.values.admin_token, "t")
  for _, row in ipairs(config.rows(c)) do
    if row.key == "token" or row.key == "admin_token" then t.eq(row.value, "********") end
  end
end)

t.test("names of other deployments", function()
  local c = load { environment = { LOG_LEVEL = "DEBUG", JWT_SECRET = "x", REDIS_HOST = "h" } }
  t.eq(c.values["log.level"], "debug")
  t.eq(c.values["auth.secret"], "x")
  t.eq(c.values.store, "sqlite:DATA/srvthreds.db")
  t.ok(c.notes[1]:find("REDIS_HOST is set", 1, true))
  t.eq(load { environment = { LOG_LEVEL = "DEBUG", SRVTHREDS_LOG_LEVEL = "warn" } }.values["log.level"], "warn")
end)

t.test("lists repeat as flags, have commas in the environment, are lists in files", function()
  t.eq(load { flags = { patterns = { "a", "b" } } }.values.patterns, { "a", "b" })
  t.eq(load { environment = { SRVTHREDS_PATTERNS = "a, b" } }.values.patterns, { "a", "b" })
  t.eq(load { file = file("list.lua", 'return { patterns = { "a", "${X||b}" } }') }.values.patterns, { "a", "b" })
end)

t.test("the nearest name", function()
  t.eq(nearest.of("sesion-port", { "session-port", "session-http-port" }), "session-port")
  t.eq(nearest.of("paterns", { "profiles", "patterns" }), "patterns")
  t.eq(nearest.of("zzz", { "profiles", "patterns" }), nil)
  t.eq(nearest.of("retyr", { "retry", "drop" }), "retry")
end)

t.test("docs/configuration.md is current", function()
  t.ok(runtime.read_file("docs/configuration.md") == config_docs.text(),
    "make it anew: build/srvthreds config docs > docs/configuration.md; the same")
end)

for _, path in ipairs(files) do os.remove(path) end
os.remove(folder .. "/srvthreds")
os.remove(folder)
return t.finish()
