-- SPDX-License-Identifier: MIT
-- Which patterns can want an unbound event, found by its type and source: the cost of an event must not grow with the
-- patterns that don't. A pattern stands under the keys that its first condition needs; one without any, under `rest`.
--
--   by_type[type].any, by_type[type].by_source[source]     the type is declared; perhaps the source too
--   by_source[source]                                      only the source is
--   rest                                                   neither is
-- Each of these is a list in byte order of the ids, replaced (never changed) when a pattern comes or goes.
local index = {}

---@class srvthreds.pattern.Index
local Index = {}
Index.__index = Index

local max_keys = 256 -- a condition with more combinations stands under fewer fields

---@param patterns table[]? loaded patterns
---@return srvthreds.pattern.Index
function index.new(patterns)
  local self = setmetatable({ by_type = {}, by_source = {}, rest = {}, keys = {}, count = 0 }, Index)
  for _, pattern in ipairs(patterns or {}) do self:add(pattern) end
  return self
end

-- The texts that a declared item demands, or nil.
local function texts_of(item)
  local list = item.op == "eq" and { item.value } or item.op == "one_of" and item.value
  if not list then return nil end
  for _, value in ipairs(list) do
    if type(value) ~= "string" then return nil end
  end
  return list
end

local function keys_of_filter(condition)
  local types, sources
  for _, item in ipairs(condition.where or {}) do
    if item.text == "type" then types = texts_of(item) end
    if item.text == "source" then sources = texts_of(item) end
  end
  if types and sources and #types * #sources > max_keys then sources = nil end
  local keys = {}
  for _, type_name in ipairs(types or { false }) do
    for _, source in ipairs(sources or { false }) do keys[#keys + 1] = { type = type_name, source = source } end
  end
  return keys
end

---The keys that an event must have one of to match the condition under test: { {type=|false, source=|false}, … }.
---An `or` matches if one operand does, and so does an `and` under test.
function index.keys_of(condition)
  if condition.kind == "filter" then return keys_of_filter(condition) end
  local keys, seen = {}, {}
  for _, operand in ipairs(condition.operands) do
    for _, key in ipairs(index.keys_of(operand)) do
      local name = (key.type or "\0") .. "\1" .. (key.source or "\0")
      if not seen[name] then
        seen[name] = true
        keys[#keys + 1] = key
      end
      if not key.type and not key.source then return { key } end
    end
  end
  return #keys <= max_keys and keys or { { type = false, source = false } }
end

-- A copy of `list` with or without the pattern, in order.
local function with(list, pattern)
  local copy, placed = {}, false
  for _, other in ipairs(list or {}) do
    if not placed and pattern.id < other.id then
      copy[#copy + 1] = pattern
      placed = true
    end
    copy[#copy + 1] = other
  end
  if not placed then copy[#copy + 1] = pattern end
  return copy
end

local function without(list, pattern)
  local copy = {}
  for _, other in ipairs(list) do
    if other ~= pattern then copy[#copy + 1] = other end
  end
  return copy[1] and copy or nil
end

-- Replaces the list under a key by change(list, pattern); empty branches go.
local function change_at(self, key, pattern, change)
  if key.type then
    local branch = self.by_type[key.type] or { by_source = {} }
    if key.source then
      branch.by_source[key.source] = change(branch.by_source[key.source], pattern)
    else
      branch.any = change(branch.any, pattern)
    end
    self.by_type[key.type] = (branch.any or next(branch.by_source)) and branch or nil
  elseif key.source then
    self.by_source[key.source] = change(self.by_source[key.source], pattern)
  else
    self.rest = change(self.rest, pattern) or {}
  end
end

---Adds a pattern, or anything with an id. One of the same id is replaced.
---@param pattern table
---@param condition table? what an event must match; by default the pattern's first
function Index:add(pattern, condition)
  self:remove(pattern)
  local keys = index.keys_of(condition or pattern.reactions[1].condition)
  for _, key in ipairs(keys) do change_at(self, key, pattern, with) end
  self.keys[pattern.id] = { pattern = pattern, keys = keys }
  self.count = self.count + 1
end

---Takes out what has the id of `pattern`; false when nothing has.
---@return boolean
function Index:remove(pattern)
  local id = pattern.id
  local entry = self.keys[id]
  if not entry then return false end
  for _, key in ipairs(entry.keys) do change_at(self, key, entry.pattern, without) end
  self.keys[id] = nil
  self.count = self.count - 1
  return true
end

local function by_id(a, b) return a.id < b.id end

-- Several lists as one in byte order of the ids, each pattern once.
local function merge(lists)
  local all, seen = {}, {}
  for _, list in ipairs(lists) do
    for _, pattern in ipairs(list) do
      if not seen[pattern] then
        seen[pattern] = true
        all[#all + 1] = pattern
      end
    end
  end
  table.sort(all, by_id)
  return all
end

---The patterns whose first reaction can want the event, in byte order of their ids. Read-only: it may be the
---index's own list.
---@param event any
---@return table[]
function Index:candidates(event)
  local branch, rest = self.by_type[event.type], self.rest
  local by_type = branch and branch.any
  local source = event.source
  source = source and source.id
  local by_both = branch and source and branch.by_source[source]
  local by_source = source and self.by_source[source]
  if not by_both and not by_source and not rest[1] then return by_type or rest end
  if not by_type and not by_both and not by_source then return rest end
  return merge { by_type or {}, by_both or {}, by_source or {}, rest }
end

return index
