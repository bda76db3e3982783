-- SPDX-License-Identifier: MIT
-- Reads a compiled function: to which variables from outside of it do it and the functions in it assign, and in which
-- line? Only the compiler knows; this is what string.dump writes in Lua 5.4. Any other form is an error at once.

local bytecode = {}

local HEADER = "\27Lua\x54\0\x19\x93\r\n\x1a\n\4\8\8" .. string.pack("<jn", 0x5678, 370.5)
local SETUPVAL = 10 -- UpValue[B] := R[A]; opcode in bits 0 to 6, B in bits 16 to 23
local NUMBERS, STRINGS = { [3] = true, [19] = true }, { [4] = true, [20] = true } -- constants with a value, by their tag

-- Seven bits a byte; the last byte has the eighth bit.
local function size(c)
  local n, byte = 0
  repeat
    byte = c.text:byte(c.at)
    n, c.at = n << 7 | byte & 0x7f, c.at + 1
  until byte >= 0x80
  return n
end

local function skip_string(c)
  local n = size(c)
  c.at = c.at + math.max(n, 1) - 1
end

local function each(c, fn)
  for i = 1, size(c) do fn(c, i) end
end

-- The instructions that assign: { pc, upvalue from 1 }.
local function read_code(c)
  local n, found = size(c), {}
  for pc = 1, n do
    local i = string.unpack("<I4", c.text, c.at + 4 * (pc - 1))
    if i & 0x7f == SETUPVAL then found[#found + 1] = { pc = pc, upvalue = (i >> 16 & 0xff) + 1 } end
  end
  c.at = c.at + 4 * n
  return found
end

local function skip_constant(c)
  local tag = c.text:byte(c.at)
  c.at = c.at + 1
  if NUMBERS[tag] then c.at = c.at + 8 end
  if STRINGS[tag] then skip_string(c) end
end

-- Lines: a difference an instruction, -128 where the line itself stands in the list behind.
local function read_lines(c, line)
  local n = size(c)
  local from, absolute, lines = c.at, {}, {}
  c.at = from + n
  each(c, function()
    local pc = size(c)
    absolute[pc + 1] = size(c)
  end)
  for pc = 1, n do
    local step = string.unpack("b", c.text, from + pc - 1)
    line = step == -128 and absolute[pc] or line + step
    lines[pc] = line
  end
  return lines
end

local function skip_variable(c)
  skip_string(c)
  size(c)
  size(c)
end

local function note(out, upvalue, line)
  out[upvalue] = math.min(out[upvalue] or line, line)
end

-- Gives upvalue from 1 -> the first line that assigns to it, and where each upvalue comes from.
local function read(c)
  local out, from = {}, {}
  skip_string(c)
  local first = size(c)
  size(c)
  c.at = c.at + 3
  local found = read_code(c)
  each(c, skip_constant)
  each(c, function(_, i)
    local is_local, index = c.text:byte(c.at, c.at + 1)
    from[i] = is_local == 0 and index + 1 or nil -- an upvalue of the function around it
    c.at = c.at + 3
  end)
  each(c, function()
    local inner, inner_from = read(c)
    for upvalue, line in pairs(inner) do
      if inner_from[upvalue] then note(out, inner_from[upvalue], line) end
    end
  end)
  local lines = read_lines(c, first)
  each(c, skip_variable)
  each(c, skip_string)
  for _, f in ipairs(found) do note(out, f.upvalue, lines[f.pc]) end
  return out, from
end

---@param fn function of Lua
---@return table<integer, integer> the upvalues, by their number, to which it or a function in it assigns, each with a line
function bytecode.assigned(fn)
  local text = string.dump(fn)
  if text:sub(1, #HEADER) ~= HEADER then error "this Lua's compiled functions have another form than those of Lua 5.4" end
  return (read { text = text, at = #HEADER + 2 })
end

return bytecode
