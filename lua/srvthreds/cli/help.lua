-- SPDX-License-Identifier: MIT
-- Help texts, made from the tables of the verbs. Each begins with examples.
local args = require "srvthreds.cli.args"
local config = require "srvthreds.config"
local verbs = require "srvthreds.cli.verbs"

local help = {}

local function columns(rows, indent)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, utf8.len(row[1])) end
  local out = {}
  for _, row in ipairs(rows) do
    local text = (" "):rep(indent) .. row[1] .. (" "):rep(width - utf8.len(row[1]) + 2) .. row[2]
    out[#out + 1] = (text:gsub("%s+$", ""))
  end
  return out
end

local function add(out, lines)
  table.move(lines, 1, #lines, #out + 1, out)
end

---What `srvthreds` alone says.
function help.short()
  return [[
SrvThreds: events in, threds run, messages out. One program; everything in one process unless you want more.

  srvthreds dev                      start it, with the ef-detection example
  srvthreds join participant0        in a second terminal: be participant0, and answer what is asked
  srvthreds send type=org.wt.echo values.echoTo=participant0 values.echoTitle=Hello --wait

srvthreds --help lists every verb; srvthreds VERB --help begins with examples.]]
end

---`srvthreds --help`.
function help.all()
  local out = { help.short():match("^(.-)\n\nsrvthreds %-%-help"), "" }
  local rows, blocks = {}, {}
  for _, verb in ipairs(verbs.list) do
    if verb.group then blocks[#blocks + 1] = verb.group end
    rows[#rows + 1] = verb.name and { verb.name, verb.line } or false
  end
  local named = {}
  for _, row in ipairs(rows) do if row then named[#named + 1] = row end end
  local lines, line, block = columns(named, 2), 0, 0
  for _, row in ipairs(rows) do
    if row then
      line = line + 1
      out[#out + 1] = lines[line]
    else
      block = block + 1
      if block > 1 then out[#out + 1] = "" end
      out[#out + 1] = blocks[block]
    end
  end
  add(out, { "", "srvthreds VERB --help begins with examples. Every key of the configuration is a flag of every verb:",
    "session.port is --session-port (srvthreds config show).",
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 found problems, 4 not reachable or timed out, 5 refused." })
  return table.concat(out, "\n")
end

local function flag_text(flag)
  local text = flag.short and ("-%s, --%s"):format(flag.short, flag.name) or "    --" .. flag.name
  if flag.only_short then text = "-" .. flag.short end
  if not flag.value then return text end
  if flag.optional then return text .. "[=" .. flag.value .. "]" end
  return text .. " " .. flag.value
end

local function usage(verb)
  local parts = { "srvthreds", verb.name }
  for _, word in ipairs(verb.words or {}) do
    local text = word.name .. (word.many and "…" or "")
    parts[#parts + 1] = word.optional and "[" .. text .. "]" or text
  end
  parts[#parts + 1] = "[FLAG…]"
  return table.concat(parts, " ")
end

local function examples(verb)
  local rows = {}
  for _, example in ipairs(verb.examples or {}) do
    rows[#rows + 1] = { example[1], example[2] and "# " .. example[2] or "" }
  end
  return columns(rows, 2)
end

local function word_rows(verb)
  local rows = {}
  for _, word in ipairs(verb.words or {}) do rows[#rows + 1] = { word.name, word.help } end
  return rows
end

local key_values = { port = "PORT", path = "FOLDER", paths = "FOLDER", duration = "DURATION", size = "SIZE",
  levels = "LEVEL", choice = "CHOICE", integer = "N" }

local function flag_rows(verb)
  local rows = {}
  for _, flag in ipairs(verb.flags or {}) do rows[#rows + 1] = { flag_text(flag), flag.help } end
  for _, key in ipairs(verb.keys or {}) do
    local entry = config.by_key[key]
    local value = entry.type == "boolean" and "" or " " .. (key_values[entry.type] or "TEXT")
    rows[#rows + 1] = { "    --" .. config.flag_of(key) .. value, entry.help }
  end
  for _, flag in ipairs(args.common) do
    if flag.name ~= "output" or verb.lists then rows[#rows + 1] = { flag_text(flag), flag.help } end
  end
  return rows
end

---`srvthreds VERB --help`, also of a verb with verbs below it.
function help.verb(verb)
  local out = examples(verb)
  out[#out + 1] = ""
  if verb.verbs then
    local rows = {}
    for _, below in ipairs(verb.verbs) do rows[#rows + 1] = { usage(below):gsub(" %[FLAG…%]$", ""), below.line } end
    for _, row in ipairs(rows) do row[1] = tostring(row[1]) end
    add(out, columns(rows, 2))
    if verb.about then out[#out + 1] = "" end
  else
    out[#out + 1] = usage(verb)
  end
  if verb.about then add(out, { verb.about }) end
  local words = columns(word_rows(verb), 2)
  if words[1] then
    out[#out + 1] = ""
    add(out, words)
  end
  out[#out + 1] = ""
  add(out, columns(flag_rows(verb), 2))
  return table.concat(out, "\n")
end

return help
