-- SPDX-License-Identifier: MIT
-- Threds that wait for unbound events: found again after a restart, each under the version that it runs.
local t = require "srvthreds.spec"
local temp_folder = require "temp_folder"
local world = require "world"

local ONE = [[p.pattern "Open" {
  p.reaction "first" { p.where { type = "go" } {} },
  p.reaction "wait" { allow_unbound_events = true, p.where { type = "one" } {
    transition = "$noTransition", transform = { title = "one" }, publish = "ann" } },
}]]
-- The reaction has another shape: threds of the first version stay there.
local TWO = [[p.pattern "Open" {
  p.reaction "first" { p.where { type = "go" } {} },
  p.reaction "wait" { allow_unbound_events = true, p.any { p.where { type = "two" } {}, p.where { type = "three" } {} } },
}]]

t.test("an older version's thred is offered unbound events, also after a restart", function()
  local folder = temp_folder.new()
  local w = world.new { url = "sqlite:" .. folder.path .. "/store.db" }
  w:pattern(ONE)
  local old = w:outcome({ type = "go" }).threds[1]
  w:pattern(TWO)
  local new = w:outcome({ type = "go" }).threds[1]
  t.eq(w:outcome({ type = "one" }).threds, { old })
  w:restart()
  t.eq(w:outcome({ type = "one" }).threds, { old })
  t.eq(w:outcome({ type = "two" }).threds, { new })
  t.eq(w:outcome({ type = "two" }).outcome, "no_pattern") -- it has ended
  w:close()
  folder:close()
end)

return t.finish()
