-- SPDX-License-Identifier: MIT
-- A transform: a template whose function leaves are called, or one function that gives a template. Rendered to the JSON
-- text of an event's data. A template is compiled once, to texts and, between them, what its functions give.

local json = require "core.json"
local script = require "core.script"
local limits = require "srvthreds.engine.limits"

local template = {}

---@class srvthreds.Program
---@field texts string[] texts[i] stands before what leaves[i] gives; the last one behind them all
---@field leaves (fun(step: table, out: table?): string?)[] JSON; nil: nothing, nor what stands around it
---@field before string[] before[i] stands before what leaves[i] gives, if it gives something: its key and comma
---@field after string[]
---@field re any the template's re, if it is no function
---@field asks_re boolean a leaf puts it into `out`

local function path_of(path, key)
  if type(key) == "number" then return ("%s[%d]"):format(path, key) end
  if path == "" then return key == "" and '""' or key end -- "" is the template itself
  return path .. "." .. key
end

local function fail(step, path, e)
  step:fail("transform", (tostring(e):gsub("^%$", function() return path == "" and "$" or "$." .. path end, 1)))
end

-- The JSON of what a function gave, or of what stands in the template, in so many levels.
local function text_of(step, v, path, depth)
  local ok, text = pcall(json.encode, v, limits.document, depth)
  if ok then return text end
  fail(step, path, text)
end

local function has_function(v)
  if type(v) ~= "table" then return type(v) == "function" end
  for _, x in next, v do
    if has_function(x) then return true end
  end
  return false
end

local function is_list(t) return json.is_array(t) or #t > 0 end

local function add_text(p, text)
  local n = #p.leaves + 1
  p.texts[n] = (p.texts[n] or "") .. text
end

local function add_leaf(p, leaf, before, after)
  add_text(p, "")
  local n = #p.leaves + 1
  p.leaves[n], p.before[n], p.after[n] = leaf, before or "", after or ""
end

local function call(step, fn, path) return step:call("transform." .. path, fn) end

local function too_large(step)
  step:fail("transform", ("$ makes the JSON larger than %d KiB"):format(limits.document >> 10))
end

-- A function that gives nil makes its key vanish, with its comma.
local function member(fn, path, depth)
  return function(step)
    local v = call(step, fn, path)
    if v ~= nil then return text_of(step, v, path, depth) end
  end
end

local function item(fn, path, depth)
  return function(step)
    local v = call(step, fn, path)
    if v == nil then
      step:fail("transform", ("the list item %s of the transform is nil: a list can't have holes; give p.null or leave it out")
        :format(path))
    end
    return text_of(step, v, path, depth)
  end
end

-- The template's `re` is the event's, not its data's.
local function is_re(path, k) return path == "" and k == "re" end

local function re_of(fn)
  return function(step, out)
    out.re = call(step, fn, "re")
  end
end

-- An object whose members may all vanish.
local function members(keys, t, path, depth)
  return function(step, out)
    local list, size = {}, 0
    for _, k in ipairs(keys) do
      local v = call(step, t[k], path_of(path, k))
      if is_re(path, k) then
        out.re = v
      elseif v ~= nil then
        local text = json.encode(k) .. ":" .. text_of(step, v, path_of(path, k), depth)
        list[#list + 1], size = text, size + #text
        if size > limits.document then too_large(step) end
      end
    end
    return "{" .. table.concat(list, ",") .. "}"
  end
end

local add

local function sorted_keys(step, t, path)
  local keys, sure = {}, false
  for k, v in next, t do
    if type(k) ~= "string" then text_of(step, t, path) end
    keys[#keys + 1] = k
    sure = sure or type(v) ~= "function"
  end
  table.sort(keys)
  return keys, sure
end

-- Functions run in byte order of their keys. The commas hang on the first member that can't vanish.
local function add_object(step, p, t, path, depth)
  local keys, sure = sorted_keys(step, t, path)
  if not sure then return add_leaf(p, members(keys, t, path, depth)) end
  local begun = false
  add_text(p, "{")
  for _, k in ipairs(keys) do
    local v, name, inner = t[k], json.encode(k) .. ":", path_of(path, k)
    if is_re(path, k) then
      add_leaf(p, re_of(v))
    elseif type(v) == "function" then
      add_leaf(p, member(v, inner, depth), begun and "," .. name or name, begun and "" or ",")
    else
      add_text(p, begun and "," .. name or name)
      add(step, p, v, inner, depth)
      begun = true
    end
  end
  add_text(p, "}")
end

-- Positions left out and keys that are none: the encoder finds and names them.
local function check_positions(step, t, path, depth)
  local shape = {}
  for k in next, t do shape[k] = true end
  text_of(step, json.array(shape), path, depth)
end

local function add_list(step, p, t, path, depth)
  check_positions(step, t, path, depth)
  add_text(p, "[")
  for i, v in ipairs(t) do
    if i > 1 then add_text(p, ",") end
    if type(v) == "function" then
      add_leaf(p, item(v, path_of(path, i), depth))
    else
      add(step, p, v, path_of(path, i), depth)
    end
  end
  add_text(p, "]")
end

function add(step, p, v, path, depth)
  if not has_function(v) then return add_text(p, text_of(step, v, path, depth)) end
  if is_list(v) then return add_list(step, p, v, path, depth + 1) end
  return add_object(step, p, v, path, depth + 1)
end

local function without_re(t)
  local data = {}
  for k, v in next, t do data[k] = v end
  data.re = nil
  return data
end

---@return srvthreds.Program
local function compile(step, t)
  local re = t.re
  local p = { texts = {}, leaves = {}, before = {}, after = {}, asks_re = type(re) == "function" }
  if not p.asks_re then
    p.re = re
    if re ~= nil then t = without_re(t) end
  end
  add(step, p, t, "", 1) -- within the event
  add_text(p, "")
  if #p.leaves == 1 then p.head, p.tail = p.texts[1] .. p.before[1], p.after[1] .. p.texts[2] end
  return p
end

-- The usual program: one function. Its texts are joined once.
local function run_one(p, step)
  local out = p.asks_re and {} or nil
  local v = p.leaves[1](step, out)
  local re = p.re
  if out then re = out.re end
  if v then
    if #p.head + #v + #p.tail > limits.document then too_large(step) end
    return p.head, v, p.tail, re
  end
  return p.texts[1], "", p.texts[2], re
end

local function run(p, step)
  if p.head then return run_one(p, step) end
  local texts, leaves = p.texts, p.leaves
  local out = p.asks_re and {} or nil
  local text = texts[1]
  for i = 1, #leaves do
    local v = leaves[i](step, out)
    text = v and text .. p.before[i] .. v .. p.after[i] .. texts[i + 1] or text .. texts[i + 1]
    if #text > limits.document then too_large(step) end
  end
  if out then return "", text, "", out.re end
  return "", text, "", p.re
end

local function plain(step, v)
  if type(v) == "userdata" and json.kind(v) == "object" then return json.copy(v) end
  if type(v) == "table" then return v end
  step:fail("transform", ("a transform gives a table {title=, description=, display=, advice=, content=, re=}, not a %s"):format(type(v)))
end

local compiled = script.weak "k"

---@param transform table|function
---@param step table its call runs a script function with (event, thred), its fail raises
---@return string head three texts that are the JSON of { title, description, display, advice, content }
---@return string text
---@return string tail
---@return any re
function template.render(transform, step)
  if type(transform) == "function" then
    return run(compile(step, plain(step, step:call_plain("transform", transform))), step)
  end
  local p = compiled[transform]
  if not p then
    p = compile(step, plain(step, transform))
    compiled[transform] = p
  end
  return run(p, step)
end

return template
