-- SPDX-License-Identifier: MIT
-- What a profile says about its documents: docdb = { indexes = { COLLECTION = { "field", … } } }, and its setup function.

local codes = require "srvthreds.engine.codes"
local names = require "srvthreds.pattern.names"

local documents = {}

local NAME, INDEXES = 120, 16 -- bytes of a collection's name; indexes of a collection
local EXAMPLE = 'docdb = { indexes = { cars = { "owner", "at.lat" } } }'

local function check_field(field, path, seen, report)
  if field == "id" then return report(path, "the id is always found at once: it needs no index") end
  if field:find("$", 1, true) or field:find("^%.") or field:find("%.$") or field:find("..", 1, true) or #field > 1024 then
    return report(path, ("%q is no path of a field, as in \"owner\" or \"at.lat\""):format(field))
  end
  if seen[field] then report(path, ("%q is there twice"):format(field)) end
  seen[field] = true
end

local function check_collection(name, list, report, strings)
  local path = "docdb.indexes." .. tostring(name)
  if type(name) ~= "string" then return report("docdb.indexes", "collections are named by their keys: " .. EXAMPLE) end
  if name == "" or #name > NAME or name:find("[$%z]") or name:find "^system%." then
    report(path, ("a collection's name has 1 to %d bytes, no $ and doesn't begin with system."):format(NAME))
  end
  local fields, seen = strings(list, path, report), {}
  for _, field in ipairs(fields) do check_field(field, path, seen, report) end
  if #fields > INDEXES then report(path, ("a collection has %d indexes at most, these are %d"):format(INDEXES, #fields)) end
end

---Reports what is wrong with the profile's `docdb`.
---@param known_keys function
---@param strings function
function documents.check(docdb, report, known_keys, strings)
  if docdb == nil then return end
  if type(docdb) ~= "table" then return report("docdb", ("a table is expected, as in %s"):format(EXAMPLE)) end
  known_keys(docdb, { "indexes" }, "docdb.", report)
  if docdb.indexes == nil then return end
  if type(docdb.indexes) ~= "table" then return report("docdb.indexes", ("a table is expected, as in %s"):format(EXAMPLE)) end
  local list = {}
  for name in pairs(docdb.indexes) do list[#list + 1] = name end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(list) do check_collection(name, docdb.indexes[name], report, strings) end
end

---Makes the indexes that aren't there yet. Waits; raises what the database says.
---@param db table core.docdb's
---@param indexes table<string, string[]>
function documents.declare(db, indexes)
  for _, name in ipairs(names.sorted(indexes)) do
    for _, field in ipairs(indexes[name]) do db:index { type = name, field = field } end
  end
end

---What `setup` gets: db:run(tasks) gives the results or raises. What it writes is written once, also if a bootstrap is
---begun again after it was cut off.
---@param db table core.docdb's
---@param profile srvthreds.Profile
function documents.for_setup(db, profile)
  local calls = 0
  return {
    run = function(_, tasks)
      calls = calls + 1
      local result, wrong = db:run(tasks, { mark = ("setup\0%s\0%d"):format(profile.hash, calls) })
      if wrong then error(codes.error(wrong.code, ("setup of profile %s: %s"):format(profile.name, wrong.message)), 0) end
      return result
    end,
  }
end

---What bootstrap does with the documents of a profile.
---@param db table core.docdb's
function documents.set_up(db, profile)
  documents.declare(db, profile.indexes or {})
  if profile.setup then profile.setup(documents.for_setup(db, profile)) end
end

return documents
