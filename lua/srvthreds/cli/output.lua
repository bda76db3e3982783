-- SPDX-License-Identifier: MIT
-- What verbs print: data on stdout, talk on stderr; tables for people, JSON for programs; colour on a terminal only.
local json = require "core.json"
local runtime = require "core.runtime"
local terminal = require "core.terminal"

local output = {}

local colours = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36" }

local function is_coloured(fd)
  local no = os.getenv "NO_COLOR"
  return runtime.isatty(fd) and (not no or no == "") and os.getenv "TERM" ~= "dumb"
end

---The text in a colour, if stdout shows colours.
function output.colour(name, text)
  if output.coloured == nil then output.coloured = is_coloured(1) end
  if not output.coloured then return text end
  return ("\27[%sm%s\27[0m"):format(colours[name], text)
end

---What other people write may hold control characters: a terminal must not obey them.
---@param text any
---@return string
function output.plain(text)
  return (tostring(text):gsub("[\0-\8\11-\31\127]", "?"):gsub("\194[\128-\159]", "?"))
end

---A line of data. When nobody reads any more (`| head`), the process ends as by SIGPIPE.
function output.line(text)
  if not io.stdout:write(text, "\n") then os.exit(141, false) end
end

---A line of talk.
function output.say(text)
  io.stdout:flush()
  io.stderr:write(text, "\n")
end

local function cell_text(value)
  if value == nil or value == json.null then return "" end
  if math.type(value) == "float" and value == value // 1 then return ("%d"):format(value) end
  if type(value) == "table" or type(value) == "userdata" then return json.encode(value) end
  return (output.plain(value):gsub("[\t\n]", " "))
end

local function width_of(text)
  return utf8.len(text) or #text
end

local function cut(text, width)
  if width_of(text) <= width then return text end
  if width < 2 then return "…" end
  return text:sub(1, (utf8.offset(text, width) or width) - 1) .. "…"
end

-- The widest columns give way first, until the line fits; never below 8.
local function fit(widths, room)
  local function total()
    local sum = 2 * (#widths - 1)
    for _, width in ipairs(widths) do sum = sum + width end
    return sum
  end
  while total() > room do
    local widest = 1
    for i, width in ipairs(widths) do if width >= widths[widest] then widest = i end end
    if widths[widest] <= 8 then return end
    widths[widest] = widths[widest] - 1
  end
end

local function table_lines(columns, rows)
  local cells, widths = {}, {}
  for c, column in ipairs(columns) do widths[c] = width_of(column.title or column[1]) end
  for r, row in ipairs(rows) do
    cells[r] = {}
    for c, column in ipairs(columns) do
      local value = row[column[1]]
      if column.show then value = column.show(value, row) end
      cells[r][c] = cell_text(value)
      widths[c] = math.max(widths[c], width_of(cells[r][c]))
    end
  end
  local room = terminal.columns()
  if room and runtime.isatty(1) then fit(widths, room) end
  return cells, widths
end

local function print_row(texts, widths, columns, paint)
  local out = {}
  for c, text in ipairs(texts) do
    text = cut(text, widths[c])
    local pad = (" "):rep(widths[c] - width_of(text))
    if columns[c].right then out[c] = pad .. text else out[c] = c < #texts and text .. pad or text end
  end
  local line = table.concat(out, "  ")
  output.line(paint and paint(line) or line)
end

---A list of things.
---@param format string? "table" (default), "json" or "jsonl"
---@param columns table[] { field, title =, show = fn(value, row), right = boolean }
---@param rows table[]
---@param none string? what to say when there are none
function output.list(format, columns, rows, none)
  if format == "json" then
    output.line(json.encode(json.array(rows)))
  elseif format == "jsonl" then
    for _, row in ipairs(rows) do output.line(json.encode(row)) end
  elseif #rows == 0 then
    if none then output.say(none) end
  else
    local cells, widths = table_lines(columns, rows)
    local titles = {}
    for c, column in ipairs(columns) do titles[c] = (column.title or column[1]):upper() end
    print_row(titles, widths, columns, function(line) return output.colour("dim", line) end)
    for _, row in ipairs(cells) do print_row(row, widths, columns) end
  end
end

---One thing: names and values below each other.
---@param pairs_list table[] { name, value }
function output.facts(pairs_list)
  local width = 0
  for _, pair in ipairs(pairs_list) do width = math.max(width, #pair[1]) end
  for _, pair in ipairs(pairs_list) do
    if pair[2] ~= nil and pair[2] ~= json.null and pair[2] ~= "" then
      output.line(output.colour("dim", pair[1] .. (" "):rep(width - #pair[1])) .. "  " .. cell_text(pair[2]))
    end
  end
end

---@param ms integer? since epoch
function output.time(ms)
  if type(ms) ~= "number" then return "" end
  return os.date("%Y-%m-%d %H:%M:%S", ms // 1000 | 0)
end

---How long ago, or until when: "3m", "2h", "in 5d".
function output.age(ms, now)
  if type(ms) ~= "number" then return "" end
  local away = ms - (now or runtime.now())
  local seconds = math.abs(away) // 1000 | 0
  local text = seconds < 60 and ("%ds"):format(seconds) or seconds < 3600 and ("%dm"):format(seconds // 60)
    or seconds < 86400 * 2 and ("%dh"):format(seconds // 3600) or ("%dd"):format(seconds // 86400)
  return away > 0 and "in " .. text or text
end

---Asks on the terminal before something changes. Must run in a task.
---@param question string
---@param call srvthreds.cli.Call its flag `yes` answers
---@return boolean
function output.confirm(question, call)
  if call.flags.yes then return true end
  if not runtime.isatty(0) then
    require("srvthreds.cli.problem").raise("not_confirmed", question .. " Nobody can be asked here.",
      { hint = "say --yes" })
  end
  io.stderr:write(question, " [y/N] ")
  local answer = terminal.read_line() or ""
  return answer:lower():match("^%s*y") ~= nil
end

return output
