-- SPDX-License-Identifier: MIT
local json = require "core.json"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local function pattern_files(folder, into)
  for _, name in ipairs(runtime.list(folder) or {}) do
    local tested = name:match("^(.+)_test%.lua$")
    local is_test = tested and runtime.stat(("%s/%s.lua"):format(folder, tested))
    if name:find("%.lua$") and not is_test then into[#into + 1] = folder .. "/" .. name end
  end
end

-- Folders stand for the pattern files in them.
local function files_of(words)
  local files = {}
  for _, word in ipairs(words) do
    local found, e = runtime.stat(word)
    if not found then problem.raise("failed", e) end
    if found.type == "directory" then pattern_files(word:gsub("/+$", ""), files) else files[#files + 1] = word end
  end
  return files
end

local function modules_beside(file)
  local folder, modules = file:match("^(.*)/[^/]*$") or ".", {}
  for _, name in ipairs(runtime.list(folder .. "/lib") or {}) do
    if name:find("%.lua$") then modules[folder .. "/lib/" .. name] = runtime.read_file(folder .. "/lib/" .. name) end
  end
  return modules
end

local function check(file)
  local pattern = require "srvthreds.pattern"
  local source, e = runtime.read_file(file)
  if not source then problem.raise("failed", e) end
  local loaded, problems = pattern.load(source, file, { modules = modules_beside(file) })
  return loaded, problems or {}
end

local function print_problems(problems)
  local pattern = require "srvthreds.pattern"
  for _, one in ipairs(problems) do output.line((pattern.format(one):gsub("\n$", ""))) end
end

local fields = { "code", "severity", "file", "line", "column", "message", "found", "expected", "nearest", "hint" }

local function as_rows(problems)
  local rows = {}
  for i, one in ipairs(problems) do
    rows[i] = {}
    for _, field in ipairs(fields) do rows[i][field] = one[field] end
  end
  return rows
end

local function print_rows(format, rows)
  if format == "json" then
    output.line(json.encode(json.array(rows)))
    return
  end
  for _, row in ipairs(rows) do output.line(json.encode(row)) end
end

local function run(call)
  local format = call.flags.output or "table"
  local files = files_of(call.words[1] and call.words or call.config.values.patterns or { "./patterns" })
  if not files[1] then problem.raise("failed", "there is no pattern file there", { hint = "srvthreds new NAME makes one" }) end
  local bad, all = 0, {}
  for _, file in ipairs(files) do
    local loaded, problems = check(file)
    if not loaded then bad = bad + 1 end
    table.move(problems, 1, #problems, #all + 1, all)
    if format == "table" then print_problems(problems) end
    if loaded then output.say(("%s: %s, %d reactions"):format(file, loaded.name, #loaded.reactions)) end
  end
  if format ~= "table" then print_rows(format, as_rows(all)) end
  output.say(("%d of %d files are good"):format(#files - bad, #files))
  return bad > 0 and 3 or 0
end

return {
  name = "check", run = run, lists = true, keys = { "patterns" },
  words = { { name = "FILE", optional = true, many = true, help = "pattern files or folders; default: the folders of `patterns`" } },
  examples = {
    { "srvthreds check", "every pattern in ./patterns" },
    { "srvthreds check patterns/contact.lua" },
    { "srvthreds check -o jsonl", "for an editor" },
  },
  about = "Loads pattern files as the engine does, changes nothing, and prints all mistakes with file, line and code.\n"
    .. "`srvthreds explain CODE` says more. Exit code 3 if a file can't be used.",
}
