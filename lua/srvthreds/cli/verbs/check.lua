-- SPDX-License-Identifier: MIT
local json = require "core.json"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local runtime = require "core.runtime"

local function is_there(path, kind)
  local found = runtime.stat(path)
  return found and found.type == kind
end

-- By where it lies: a profile's scripts for documents are PROFILE/scripts/*.lua.
local function is_script(file) return file:match "([^/]+)/[^/]+$" == "scripts" end

local function lua_files(folder, into)
  for _, name in ipairs(runtime.list(folder) or {}) do
    local tested = name:match("^(.+)_test%.lua$")
    local is_test = tested and runtime.stat(("%s/%s.lua"):format(folder, tested))
    if name:find("%.lua$") and not is_test then into[#into + 1] = folder .. "/" .. name end
  end
end

-- A folder stands for the files in it, one of a profile for its patterns and scripts.
local function files_in(folder, into)
  if is_there(folder .. "/profile.lua", "file") or is_there(folder .. "/run-config", "directory") then
    lua_files(folder .. "/patterns", into)
    lua_files(folder .. "/scripts", into)
  else
    lua_files(folder, into)
  end
end

local function files_of(words)
  local files = {}
  for _, word in ipairs(words) do
    local found, e = runtime.stat(word)
    if not found then problem.raise("failed", e) end
    if found.type == "directory" then files_in((word:gsub("/+$", "")), files) else files[#files + 1] = word end
  end
  return files
end

-- The folders of `patterns`, and the scripts beside them.
local function usual(call)
  local words = {}
  for _, folder in ipairs(call.config.values.patterns or { "./patterns" }) do
    words[#words + 1] = folder
    local beside = (folder:gsub("/+$", ""):match "^(.*/)[^/]*$" or "./") .. "scripts"
    if is_there(beside, "directory") then words[#words + 1] = beside end
  end
  return words
end

local function modules_beside(file)
  local folder, modules = file:match("^(.*)/[^/]*$") or ".", {}
  for _, name in ipairs(runtime.list(folder .. "/lib") or {}) do
    if name:find("%.lua$") then modules[folder .. "/lib/" .. name] = runtime.read_file(folder .. "/lib/" .. name) end
  end
  return modules
end

local function check_script(source, file)
  local codes = require "srvthreds.agent.script_codes"
  local loaded, _, mistake = require "srvthreds.agent.scripts".load(source, file)
  if loaded then return "a script", {} end
  local entry, line = codes.by_name[mistake.name], 0
  local one = { code = entry.code, severity = "error", file = file, line = mistake.line, message = mistake.message }
  for text in (source .. "\n"):gmatch "(.-)\r?\n" do
    line = line + 1
    if line == mistake.line then one.source = text end
  end
  return nil, { one }
end

-- What it is, or nil; and what is wrong.
local function check(file)
  local pattern = require "srvthreds.pattern"
  local source, e = runtime.read_file(file)
  if not source then problem.raise("failed", e) end
  if is_script(file) then return check_script(source, file) end
  local loaded, problems = pattern.load(source, file, { modules = modules_beside(file) })
  return loaded and ("%s, %d reactions"):format(loaded.name, #loaded.reactions), problems or {}
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
  local files = files_of(call.words[1] and call.words or usual(call))
  if not files[1] then problem.raise("failed", "there is no pattern and no script there", { hint = "srvthreds new NAME makes one" }) end
  local bad, all = 0, {}
  for _, file in ipairs(files) do
    local loaded, problems = check(file)
    if not loaded then bad = bad + 1 end
    table.move(problems, 1, #problems, #all + 1, all)
    if format == "table" then print_problems(problems) end
    if loaded then output.say(("%s: %s"):format(file, loaded)) end
  end
  if format ~= "table" then print_rows(format, as_rows(all)) end
  output.say(("%d of %d files are good"):format(#files - bad, #files))
  return bad > 0 and 3 or 0
end

return {
  name = "check", run = run, lists = true, keys = { "patterns" },
  words = { { name = "FILE", optional = true, many = true,
    help = "files, folders, or a profile's folder; default: the folders of `patterns` and the scripts/ beside them" } },
  examples = {
    { "srvthreds check", "every pattern in ./patterns" },
    { "srvthreds check patterns/contact.lua" },
    { "srvthreds check run-profiles/dev", "a profile's patterns and scripts" },
    { "srvthreds check -o jsonl", "for an editor" },
  },
  about = "Loads patterns and scripts (files in a folder scripts/) as the program does, changes nothing, and prints all\n"
    .. "mistakes with file, line and code.\n"
    .. "`srvthreds explain CODE` says more. Exit code 3 if a file can't be used.",
}
