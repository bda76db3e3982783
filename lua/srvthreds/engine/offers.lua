-- SPDX-License-Identifier: MIT
-- Which live threds wait in a reaction that allows unbound events: in memory, per (version, reaction), found by the
-- event's type like patterns are. Built from the store at start; follows every commit.

local index = require "srvthreds.pattern.index"

local offers = {}
offers.__index = offers

function offers.new(engine)
  return setmetatable({ engine = engine, index = index.new(), places = {}, of = {} }, offers)
end

-- The set of threds that wait at this reaction of this version.
function offers:place(pattern, reaction)
  local key = pattern.version .. "/" .. reaction.name
  local place = self.places[key]
  if not place then
    place = { id = key, key = key, pattern = pattern.id, condition = reaction.condition, threds = {}, order = 0, count = 0 }
    self.places[key] = place
    self.index:add(place, reaction.condition)
  end
  return place
end

local function leave(self, id)
  local place = self.of[id]
  if not place then return end
  self.of[id] = nil
  place.threds[id] = nil
  place.count = place.count - 1
  if place.count == 0 then
    self.index:remove(place)
    self.places[place.key] = nil
  end
end

---The step was committed: its thred is where it is now.
function offers:moved(step)
  local s = step.state
  local reaction = s.status == "active" and step:reaction() or nil
  if not reaction or not reaction.allow_unbound_events then return leave(self, step.id) end
  local place = self:place(step.pattern, reaction)
  if self.of[step.id] == place then return end
  leave(self, step.id)
  self.of[step.id] = place
  place.order = place.order + 1
  place.threds[step.id] = place.order
  place.count = place.count + 1
end

---Ids of the threds that may want this unbound event, oldest first.
---@param wanted fun(pattern: string): boolean? of which patterns; nil: of all
function offers:candidates(doc, wanted)
  local found = {}
  if not next(self.places) then return found end
  for _, place in ipairs(self.index:candidates(doc)) do
    local here = {}
    for id in pairs((not wanted or wanted(place.pattern)) and place.threds or {}) do here[#here + 1] = id end
    table.sort(here, function(a, b) return place.threds[a] < place.threds[b] end)
    table.move(here, 1, #here, #found + 1, found)
  end
  return found
end

-- The reaction of this version, if it waits for unbound events; threds may run versions that nothing else has loaded.
local function open_reaction(self, place)
  local ok, pattern = pcall(self.engine.patterns.version, self.engine.patterns, place.pattern, place.version)
  local i = ok and pattern and pattern.by_name[place.reaction]
  local reaction = i and pattern.reactions[i]
  if reaction and reaction.allow_unbound_events then return pattern, reaction end
end

---Reads again who waits where: at start, and when what was in memory is gone.
function offers:load()
  self.index, self.places, self.of = index.new(), {}, {}
  for _, place in ipairs(self.engine.store:thred_counts()) do
    local pattern, reaction
    if place.status == "active" then pattern, reaction = open_reaction(self, place) end
    if reaction then self:load_place(pattern, reaction) end
  end
end

function offers:load_place(version, reaction)
  local after
  repeat
    local page = self.engine.store:threds { pattern = version.id, reaction = reaction.name, status = "active", limit = 1000,
      after = after }
    for _, row in ipairs(page.items) do
      if row.version == version.version then
        self:moved { id = row.id, pattern = version, state = { status = "active" }, reaction = function() return reaction end }
      end
    end
    after = page.after
  until not after
end

return offers
