-- SPDX-License-Identifier: MIT
-- Checks how the parts of a pattern fit: where transitions lead, what is reachable, what is sent.
local names = require "srvthreds.pattern.names"
local show = require "srvthreds.pattern.report".show

local flow = {}

local built_in = { ["$next"] = true, ["$terminate"] = true, ["$noTransition"] = true }
local built_in_names = { "$next", "$terminate", "$noTransition" }

-- Calls fn(leaf, effective) for each condition whose match completes the reaction's: per directive the deepest counts.
local function each_match(condition, inherited, fn)
  local effective = {}
  for _, key in ipairs { "transform", "publish", "transition", "spawn" } do
    if condition[key] or condition.broken[key] then
      effective[key] = { value = condition[key], owner = condition }
    else
      effective[key] = inherited[key]
    end
  end
  if condition.kind ~= "or" then return fn(condition, effective) end
  for _, operand in ipairs(condition.operands or {}) do each_match(operand, effective, fn) end
end
flow.each_match = each_match

local function check_name(ctx, pattern, t, where)
  if not t or built_in[t.name] or pattern.by_name[t.name] then return end
  local known = names.sorted(pattern.by_name)
  for _, name in ipairs(built_in_names) do known[#known + 1] = name end
  local place = { file = t.place.file, line = t.place.line, key = t.place.key, under = t.place.under, word = t.name }
  ctx.report:add("unknown_reaction", place, {
    message = ("%s leads to a reaction that doesn't exist"):format(where), found = show(t.name),
    expected = #known <= 20 and names.join(known) or "a reaction's name", nearest = names.nearest(t.name, known) })
end

-- The index that a transition leads to from reaction `from`, or nil when the thred ends or stays.
local function target(pattern, from, t)
  local name = t and t.name or "$next"
  if name == "$next" then return pattern.reactions[from + 1] and from + 1 end
  if built_in[name] then return nil end
  return pattern.by_name[name]
end

local function targets(pattern, index)
  local reaction, list, unsure = pattern.reactions[index], {}, false
  local function add(t)
    local to = target(pattern, index, t)
    if to then list[#list + 1] = to end
    if t and not built_in[t.name] and not to then unsure = true end
  end
  if reaction.condition then
    each_match(reaction.condition, {}, function(_, effective)
      local t = effective.transition
      if t and not t.value then unsure = true else add(t and t.value) end
    end)
  else
    unsure = true
  end
  if reaction.expiry then add(reaction.expiry.transition) end
  return list, unsure or reaction.unsure
end

local function check_reachable(ctx, pattern)
  local reached, work, unsure = { [1] = true }, { 1 }, false
  while #work > 0 do
    local list, doubtful = targets(pattern, table.remove(work))
    unsure = unsure or doubtful
    for _, index in ipairs(list) do
      if not reached[index] then
        reached[index] = true
        work[#work + 1] = index
      end
    end
  end
  if unsure then return end -- a transition with a mistake may be the one that leads there
  for index, reaction in ipairs(pattern.reactions) do
    if not reached[index] then
      local before = pattern.reactions[index - 1]
      ctx.report:add("unreachable", { file = reaction.file, line = reaction.line, word = reaction.name }, {
        message = ('no thred can reach the reaction "%s"'):format(reaction.name),
        hint = ('a transition or an expiry must lead to it; "%s" before it doesn\'t go on by $next')
          :format(before.name) })
    end
  end
end

local function check_sending(ctx, reaction)
  each_match(reaction.condition, {}, function(leaf, effective)
    local publish, transform = effective.publish, effective.transform
    if publish and not transform then
      local owner = publish.owner
      local at = leaf ~= owner and (" when the p.%s of line %s matches"):format(leaf.word, leaf.line or "?") or ""
      ctx.report:add("publish_alone", { file = owner.file, line = owner.line, key = "publish", under = "directives" }, {
        message = "publish without transform: nothing would be sent" .. at,
        hint = "add transform = { title = …, content = … }, or leave publish out" })
    elseif transform and not publish then
      local owner = transform.owner
      local place = { file = owner.file, line = owner.line, key = "transform", under = "directives" }
      ctx.report:add("transform_alone", place, {
        message = "transform without publish: what it builds is sent to nobody",
        hint = 'add publish = "ADDRESSEE", or leave transform out' })
    end
  end)
end

local function check_children(ctx, reaction)
  each_match(reaction.condition, {}, function(_, effective)
    local spawn, t = effective.spawn and effective.spawn.value, effective.transition and effective.transition.value
    if spawn and spawn.type == "child" and t and t.name == "$terminate" then
      local owner = effective.spawn.owner
      ctx.report:add("terminate_child", { file = owner.file, line = owner.line, key = "spawn", under = "directives" }, {
        message = "the child that is spawned here ends at once: $terminate ends a thred's children",
        hint = 'use type = "sibling", or another transition' })
    end
  end)
end

local function check_transitions(ctx, pattern, condition)
  check_name(ctx, pattern, condition.transition, "transition")
  for _, operand in ipairs(condition.operands or {}) do check_transitions(ctx, pattern, operand) end
end

local function published_names(condition, into)
  if condition.publish and condition.publish.name then into[condition.publish.name] = true end
  if condition.broken.publish then into.unsure = true end
  for _, operand in ipairs(condition.operands or {}) do published_names(operand, into) end
end

local function check_answers(ctx, condition, published, first)
  for _, item in ipairs(condition.where or {}) do
    if item.op == "answer_to" then
      local place = { file = condition.file, line = condition.line, key = "re", under = "where", word = item.value }
      if first then
        ctx.report:add("no_answer_yet", place, {
          message = "the first reaction waits for an answer to something published",
          found = show(item.value),
          hint = "the reaction that publishes comes before the one that waits for the answer" })
      elseif not published[item.value] and not published.unsure then
        local known = names.sorted(published)
        ctx.report:add("unknown_answer", place, { message = "an answer to something that is never published",
          found = show(item.value), expected = #known > 0 and names.join(known) or nil,
          nearest = names.nearest(item.value, known),
          hint = #known == 0 and 'name what is published: publish = { to = …, name = "NAME" }' or nil })
      end
    end
  end
  for _, operand in ipairs(condition.operands or {}) do check_answers(ctx, operand, published, first) end
end

-- A first reaction may wait for an answer when the thred can come back to it.
local function returns_to_first(pattern)
  for index in ipairs(pattern.reactions) do
    local list, unsure = targets(pattern, index)
    if unsure then return true end
    for _, to in ipairs(list) do
      if to == 1 then return true end
    end
  end
  return false
end

---Checks a pattern whose parts were read.
function flow.check(ctx, pattern)
  local published = {}
  for _, reaction in ipairs(pattern.reactions) do
    if reaction.condition then published_names(reaction.condition, published) else published.unsure = true end
  end
  local first_once = not returns_to_first(pattern)
  for index, reaction in ipairs(pattern.reactions) do
    if reaction.expiry then check_name(ctx, pattern, reaction.expiry.transition, "expiry") end
    if reaction.condition then
      check_transitions(ctx, pattern, reaction.condition)
      check_sending(ctx, reaction)
      check_children(ctx, reaction)
      check_answers(ctx, reaction.condition, published, index == 1 and first_once and reaction.condition.kind ~= "or")
    end
  end
  if #pattern.reactions > 0 then check_reachable(ctx, pattern) end
end

return flow
