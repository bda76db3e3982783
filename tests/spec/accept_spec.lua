-- SPDX-License-Identifier: MIT
-- An event is the same whether the queue reads its fields itself or is told them: duplicates and conflicts are found across.
local t = require "srvthreds.spec"
local json = require "core.json"
local runtime = require "core.runtime"
local accept = require "srvthreds.session.accept"
local world = require "world"

local VARIANTS = {
  {}, { thredId = "t" }, { re = "t" }, { thredId = "t", re = "u" }, { data = {} }, { data = { title = "" } },
  { data = { content = { values = { n = 1 } } } }, { data = { content = { values = { n = 1.0 } } } },
  { data = { title = "\"\\\n\u{1F600}é" } }, { data = { content = json.null } }, { thredId = "data" }, { type = "y" },
  { data = { title = ("x"):rep(5000) } },
}

local function doc_of(id, variant)
  local event = json.copy(variant)
  event.id, event.type = id, event.type or "x"
  return accept.prepare(event, { id = "ann" }, runtime.now())
end

local function told(w, doc, content)
  return world.task(function()
    return w.queue:accept(doc, { source = doc.source.id, id = doc.id, thred = doc.thredId, at = runtime.now(),
      content = content or accept.content_of(doc) }, nil)
  end)
end

local function read(w, doc)
  return world.task(function() return w.queue:accept_event(doc, runtime.now(), nil) end)
end

t.test("what was read is a duplicate of what was told, and the other way round; another content is a conflict", function()
  local w = world.new()
  for first, ways in pairs { read = { read, told }, told = { told, read } } do
    for i, variant in ipairs(VARIANTS) do
      local id = ("%s %d"):format(first, i)
      t.eq((ways[1](w, doc_of(id, variant))), "accepted", id)
      for _, way in ipairs { read, told } do
        t.eq((way(w, doc_of(id, variant))), "duplicate", id)
        t.eq((way(w, doc_of(id, VARIANTS[i % #VARIANTS + 1]))), "conflict", id)
      end
    end
  end
  t.eq(world.task(function() return w.store:counts() end).queue, 0)
  w:close()
end)

t.test("fields with escapes are not read but told; what is no event of ours is refused", function()
  local w = world.new()
  for _, fields in ipairs { { id = "a\"b" }, { thredId = "\\" }, { re = "\n" }, { type = "x\"" } } do
    local variant = { type = fields.type, thredId = fields.thredId, re = fields.re }
    local doc = doc_of(fields.id or "e", variant)
    t.eq((read(w, doc)), nil)
  end
  local odd = doc_of("a\"b", {})
  t.eq((world.task(function() return accept.queue(w.queue, odd, nil) end)), "accepted")
  t.eq((world.task(function() return accept.queue(w.queue, odd, nil) end)), "duplicate")
  for _, doc in ipairs { json.doc '{"id":"x"}', json.doc '[1]', json.doc '{"id":"x","source":"ann","type":"x"}', "text", 1 } do
    t.eq((read(w, doc)), nil)
  end
  w:close()
end)

t.test("a doc without a class comes as one of the engine's", function()
  local w = world.new()
  local got
  world.task(function() w.queue:consume("engine", nil) end)
  world.task(function() w.queue:consume("engine", function(d) got = d; w.queue:settle(d, { outcome = "no_pattern" }, nil) end,
    require "srvthreds.engine.event".class) end)
  local doc = doc_of("plain", { data = { content = { values = { n = 7 } } } })
  t.eq((read(w, json.doc(json.bytes(doc)))), "accepted")
  runtime.advance(0)
  t.eq({ got.doc.id, got.doc:value "n" }, { "plain", 7 })
  w:close()
end)

return t.finish()
