-- SPDX-License-Identifier: MIT
-- What /metrics says of steps and timers agrees with what was sent. Counts, not durations: these are of the real clock.
local t = require "srvthreds.spec"
local metrics = require "core.metrics"
local temp_folder = require "temp_folder"
local world = require "world"

local function shown(name)
  return tonumber(metrics.text():match("\nsrvthreds_" .. name:gsub("%p", "%%%0") .. " ([%d.e+-]+)")) or 0
end

-- What fn changed of these.
local function changed(names, fn)
  local before, after = {}, {}
  for i, name in ipairs(names) do before[i] = shown(name) end
  fn()
  for i, name in ipairs(names) do after[i] = shown(name) - before[i] end
  return after
end

local function steps(pattern, reaction)
  return ('step_duration_seconds_count{pattern="%s",reaction="%s"}'):format(pattern, reaction)
end

local MEASURED = [[p.pattern "Measured" {
  p.reaction "first" { p.where { type = "go" } {} },
  p.reaction "second" {
    expiry = { after = "10s", transition = "third" },
    p.any { p.where { type = "stay" } { transition = "$noTransition" }, p.where { type = "on" } {} },
  },
  p.reaction "third" { p.where { type = "end" } { transition = "$terminate" } },
}]]

t.test("steps are counted where they began, waits for each thred, refusals not at all", function()
  local w = world.new()
  w:pattern(MEASURED)
  local names = { steps("measured", "first"), steps("measured", "second"), steps("measured", "third"),
    "commits_refused_total" }
  t.eq(changed(names, function()
    for _ = 1, 3 do
      local id = w:outcome({ type = "go" }).threds[1]
      w:outcome { type = "stay", thredId = id }
      w:outcome { type = "on", thredId = id }
      w:outcome { type = "end", thredId = id }
    end
    w:outcome { type = "nobody" }
  end), { 3, 6, 3, 0 })
  w:close()
end)

t.test("a timer is pending until it fires; one that fired late after a restart was that late", function()
  local folder = temp_folder.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/s.db" }
  w:pattern(MEASURED)
  local names = { "timer_lag_seconds_count", "timer_lag_seconds_sum", steps("measured", "second") }
  t.eq(changed(names, function()
    w:outcome { type = "go" }
    t.eq(shown "timers_pending", 1)
    w:advance(10000)
    t.eq(shown "timers_pending", 0)
  end), { 1, 0, 1 })
  t.eq(changed(names, function()
    w:outcome { type = "go" }
    w:restart(17000)
    w:advance(0)
  end), { 1, 7, 1 })
  t.ok(shown 'store_commit_seconds_count{backend="sqlite"}' > 0)
  w:close()
  folder:close()
end)

t.test("a timer that came to nothing fires again, for its own due time, and is counted once", function()
  local w = world.new()
  w:pattern(MEASURED)
  local id = w:outcome({ type = "go" }).threds[1]
  local due, fired = w.engine.due, {}
  w.engine.due = function(self, thred_id, at)
    fired[#fired + 1] = at
    if #fired == 3 then return due(self, thred_id, at) end
    w.store:begin(thred_id):abort()
  end
  local at = w:thred(id).due
  t.eq(changed({ "timer_lag_seconds_count", "timers_pending" }, function() w:advance(20000) end), { 1, -1 })
  t.eq(fired, { at, at, at })
  t.eq(w:thred(id).reaction, "third")
  w:close()
end)

return t.finish()
