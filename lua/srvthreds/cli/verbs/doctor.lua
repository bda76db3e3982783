-- SPDX-License-Identifier: MIT
local build = require "core.build"
local client = require "srvthreds.cli.client"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"
local services = require "srvthreds.cli.services"

local FEW_FILES = 4096

local function program()
  return "ok", ("srvthreds %s, Lua files in %s"):format(build.version, services.shipped() .. "/lua")
end

local function open_files()
  local limits = runtime.read_file("/proc/self/limits") or ""
  local soft = limits:match("Max open files%s+(%d+)")
  if not soft or tonumber(soft) >= FEW_FILES then return "ok", ("%s files may be open"):format(soft or "unlimited") end
  return "warn", ("only %s files may be open: that many sessions less some; ulimit -n 65536"):format(soft)
end

local function data(call)
  local folder = call.config.values.data
  local found = runtime.stat(folder)
  if not found then return "ok", folder .. " is not there yet; the first start makes it" end
  if found.type ~= "directory" then return "fail", folder .. " is no folder" end
  local probe = folder .. "/.doctor"
  local ok, e = runtime.write_file(probe, "")
  if not ok then return "fail", e end
  os.remove(probe)
  return "ok", folder .. " can be written"
end

local function token(call)
  local path = call.config.values.data .. "/admin.token"
  local found = runtime.stat(path)
  if call.config.values.admin_token then return "ok", "given by " .. call.config.sources.admin_token end
  if not found then return "ok", path .. " is made at the first start" end
  if found.mode & 63 ~= 0 then return "warn", ("%s can be read by others (mode %o): chmod 600 it"):format(path, found.mode) end
  return "ok", path
end

local function configuration(call)
  local notes = call.config.notes
  if notes[1] then return "warn", notes end
  local said = {}
  for key, source in pairs(call.config.sources) do
    if source ~= "default" then said[#said + 1] = key end
  end
  table.sort(said)
  return "ok", said[1] and table.concat(said, ", ") .. " are not the defaults" or "all defaults"
end

local function health(call, port_key)
  local net = require "core.net"
  local address = client.address(call, "http", port_key)
  local ok, answer = pcall(net.request, { method = "GET", url = address .. "/health/ready", timeout_ms = 3000 })
  if ok and answer.status == 200 then return "ok", address .. " is ready" end
  if ok and answer.status == 503 then return "fail", ("%s is not ready: %s"):format(address, output.plain(answer.body)) end
  if ok then return "fail", address .. " is taken by another program: choose another port" end
  return nil, address
end

-- Nobody answers: could the port be taken by somebody who speaks no HTTP?
local function port(call, key)
  local status, detail = health(call, key)
  if status then return status, detail end
  local net = require "core.net"
  local ok, server = pcall(net.listen, { host = call.config.values.bind, port = call.config.values[key],
    on_request = function() end })
  if not ok then
    return "fail", ("%s: %s"):format(detail, type(server) == "table" and server.message or tostring(server))
  end
  server:close(0)
  return "ok", detail .. " is free: nothing runs there"
end

local function counted(n, one, several, rest) return ("%d %s %s"):format(n, n == 1 and one or several, rest) end

local function system(call)
  local status, detail = health(call, "engine.port")
  if status ~= "ok" then return "ok", "no system runs at " .. client.address(call, "http", "engine.port"), detail end
  local dead = client.list(call, "/api/dead", {}, 1000)
  local _, _, page = client.list(call, "/api/patterns", {}, 1000)
  local bad = page.problems and #page.problems or 0
  local stats, found = client.admin(call, "GET", "/api/stats"), {}
  for _, p in ipairs(type(stats.paused) == "table" and stats.paused or {}) do
    if p.state == "paused" then
      found[#found + 1] = ("%s %s is paused (%s), %d %s wait: %ssrvthreds %ss resume %s"):format(p.kind, p.id, p.reason,
        p.waiting, p.kind == "agent" and "messages" or "events",
        type(p.by) == "string" and "" or "mend it and save its file, or ", p.kind, p.id)
    end
  end
  if bad > 0 then found[#found + 1] = counted(bad, "pattern file has", "pattern files have", "mistakes: srvthreds patterns list") end
  if #dead > 0 then found[#found + 1] = counted(#dead, "dead letter waits", "dead letters wait", "for you: srvthreds dead list") end
  if found[1] then return "warn", found end
  return "ok", "it runs, no dead letters, no pattern with mistakes"
end

local checks = {
  { "program", program }, { "configuration", configuration }, { "data", data }, { "admin token", token },
  { "open files", open_files },
  { "engine.port", function(call) return port(call, "engine.port") end },
  { "session.port", function(call) return port(call, "session.port") end },
  { "session.http_port", function(call) return port(call, "session.http_port") end },
  { "system", system },
}

local function told(raised)
  if problem.is(raised) then return raised.message end
  return type(raised) == "table" and raised.message or tostring(raised)
end

-- A check finds one thing or several: a text or a list of them.
local function findings(call)
  local rows, failed = {}, false
  for _, check in ipairs(checks) do
    local ok, status, detail = pcall(check[2], call)
    if not ok then status, detail = "fail", told(status) end
    for _, text in ipairs(type(detail) == "table" and detail or { detail }) do
      rows[#rows + 1] = { check = check[1], status = status, detail = text }
    end
    failed = failed or status == "fail"
  end
  return rows, failed
end

local colours = { ok = "green", warn = "yellow", fail = "red" }

local function run(call)
  local rows, failed = findings(call)
  if (call.flags.output or "table") ~= "table" then
    output.list(call.flags.output, {}, rows)
  else
    for _, row in ipairs(rows) do
      output.line(("%s  %-18s %s"):format(output.colour(colours[row.status], ("%-4s"):format(row.status)), row.check,
        output.plain(row.detail)))
    end
  end
  return failed and 3 or 0
end

return {
  name = "doctor", run = run, lists = true, keys = services.keys,
  examples = { { "srvthreds doctor" }, { "srvthreds doctor -o json" } },
  about = "Looks at the program, the configuration, the data folder, the ports and the system that runs there, and says\n"
    .. "what is wrong and what to do. Exit code 3 if something is.",
}
