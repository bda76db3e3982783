-- SPDX-License-Identifier: MIT
-- Every mistake that loading a pattern can find: its stable code and what `srvthreds explain CODE` says about it.

---@class srvthreds.pattern.Code
---@field name string the name used in this folder
---@field code string stable, never given to another mistake
---@field title string
---@field text string what it means and what to do
---@field warning boolean? the pattern loads all the same

---@type srvthreds.pattern.Code[]
local list = {
  { name = "syntax", code = "SRV-P001",
    title = "the file is not valid Lua",
    text = "The Lua compiler stopped at this line. The usual causes: a comma missing between two entries of\n"
      .. "a table (it shows as \"'}' expected\"), a bracket or `end` too few, or a string that is not\n"
      .. "closed. The cause is often one line above the one named." },
  { name = "run", code = "SRV-P002",
    title = "the file stopped with an error while it was loaded",
    text = "A pattern file is run once to build the pattern. Something it did raised an error: usually a\n"
      .. "misspelt name (`attempt to call a nil value`), or a field of something that isn't there." },
  { name = "budget", code = "SRV-P003",
    title = "the file used too much time or memory while it was loaded",
    text = "A pattern file only describes the pattern; loading it must take milliseconds. Look for an\n"
      .. "endless loop outside the pattern's functions." },
  { name = "no_pattern", code = "SRV-P004",
    title = "the file doesn't return a pattern",
    text = "A pattern file ends with `return p.pattern \"Name\" { … }`. Files that others require belong into\n"
      .. "`patterns/lib/`, tests end in `_test.lua`; every other file is a pattern." },
  { name = "no_module", code = "SRV-P005",
    title = "a module that the file requires doesn't exist",
    text = "Patterns may require \"srvthreds.pattern\" and the files of `patterns/lib/` by the name\n"
      .. "\"lib.NAME\"." },
  { name = "unknown_key", code = "SRV-P006",
    title = "an unknown key",
    text = "The table has a key that means nothing there. Usually it is misspelt, or it belongs one table\n"
      .. "further in or out: directives (on_true, transform, publish, transition, spawn) stand in the\n"
      .. "table behind a condition." },
  { name = "wrong_type", code = "SRV-P007",
    title = "a value of the wrong type",
    text = "The key is known, the value can't be used for it. The message says what was found and what is\n"
      .. "expected." },
  { name = "unknown_function", code = "SRV-P008",
    title = "the pattern module has no such function",
    text = "`p.NAME` is none of the functions of \"srvthreds.pattern\": pattern, reaction, where, filter, all,\n"
      .. "any, the matchers of p.where (one_of, at_least, …), null, array, now, id, reaction_of,\n"
      .. "participants, step, fail." },
  { name = "no_body", code = "SRV-P009",
    title = "a name without its table",
    text = "`p.pattern \"Name\"` and `p.reaction \"name\"` are each followed by a table: `p.reaction \"name\" { …\n"
      .. "}`." },
  { name = "no_name", code = "SRV-P010",
    title = "a name is missing or can't be used",
    text = "A pattern needs a name that isn't empty. A reaction's name is not empty and doesn't begin with\n"
      .. "`$`: those names are the built-in transitions $next, $terminate and $noTransition." },
  { name = "no_reactions", code = "SRV-P011",
    title = "a pattern without reactions",
    text = "A pattern is a list of reactions; the first one decides which events start a thred." },
  { name = "duplicate_reaction", code = "SRV-P012",
    title = "two reactions of one name",
    text = "Transitions name reactions, so every name is there once in a pattern." },
  { name = "unknown_reaction", code = "SRV-P013",
    title = "a transition to a reaction that doesn't exist",
    text = "A transition names a reaction of the same pattern, or $next, $terminate or $noTransition." },
  { name = "unreachable", code = "SRV-P014",
    title = "a reaction that no thred can reach",
    text = "No transition names this reaction, no reaction before it goes on to it by $next, and no expiry\n"
      .. "leads to it. Either a transition is missing, or the reaction is left over." },
  { name = "no_condition", code = "SRV-P015",
    title = "a reaction without a condition",
    text = "A reaction has exactly one condition: p.where{…}, p.filter(function), p.all{…} or p.any{…}." },
  { name = "many_conditions", code = "SRV-P016",
    title = "a reaction with more than one condition",
    text = "A reaction has exactly one condition. For one event of several kinds write p.any{ … }, for\n"
      .. "several events that must all come p.all{ … }. The directives of a condition follow it without a\n"
      .. "comma; with a comma the table is a second entry of the reaction. Without the comma between two\n"
      .. "conditions the second one would become the directives of the first." },
  { name = "not_a_condition", code = "SRV-P017",
    title = "an operand that is no condition",
    text = "The operands of p.all and p.any are conditions: p.where{…}, p.filter(function), p.all{…},\n"
      .. "p.any{…}." },
  { name = "no_operands", code = "SRV-P018",
    title = "p.all or p.any without operands",
    text = "Without an operand it could never match." },
  { name = "operand_directive", code = "SRV-P019",
    title = "a directive on an operand of p.all",
    text = "What p.all waits for comes with several events; the directives run once, when all of it has\n"
      .. "come. So transform, publish, transition and spawn stand in the table behind p.all{…}; an operand\n"
      .. "may have on_true only." },
  { name = "filter_function", code = "SRV-P020",
    title = "p.filter without a function",
    text = "p.filter takes function(event, thred) that returns true or false. Fields that must have certain\n"
      .. "values are declared with p.where { type = \"…\", [\"values.x\"] = … }, which is indexed and\n"
      .. "explained as well." },
  { name = "directives_twice", code = "SRV-P021",
    title = "two tables of directives behind one condition",
    text = "A condition is followed by one table of directives. A second table usually means that the comma\n"
      .. "between two entries of a list is missing." },
  { name = "publish_alone", code = "SRV-P022",
    title = "publish without transform",
    text = "publish says to whom, transform says what. Without a transform nothing would be sent. Either may\n"
      .. "stand at the operand that matched or at a condition around it." },
  { name = "transform_alone", code = "SRV-P023", warning = true,
    title = "transform without publish",
    text = "The event that transform builds is sent to nobody." },
  { name = "expiry_forward", code = "SRV-P024",
    title = "input = \"forward\" on an expiry",
    text = "When a reaction expires there is no event that could be forwarded. Use input = \"local\" with the\n"
      .. "name of a local that holds an event, or leave input out." },
  { name = "local_name", code = "SRV-P025",
    title = "local_name and input don't fit",
    text = "input = \"local\" feeds the event stored in the local that local_name names; the two go together." },
  { name = "unknown_word", code = "SRV-P026",
    title = "a word that is none of the choices",
    text = "The message names the words that are possible here." },
  { name = "bad_duration", code = "SRV-P027",
    title = "a duration that can't be read",
    text = "A duration is a number of milliseconds or a text: \"250ms\", \"30s\", \"5m\", \"2h\", \"7d\"." },
  { name = "bad_size", code = "SRV-P028",
    title = "a size that can't be read",
    text = "A size is a number of bytes or a text: \"512KB\", \"32MB\"." },
  { name = "bad_regex", code = "SRV-P029",
    title = "a regular expression that can't be read",
    text = "Regular expressions are those of PCRE2, over UTF-8. In allowed_sources they stand between\n"
      .. "slashes, /like this/, and are searched without regard to case. Mind that Lua strings need \\\\ for\n"
      .. "one \\." },
  { name = "bad_field", code = "SRV-P030",
    title = "a field that p.where doesn't know",
    text = "The fields are type, source (the sender's id), re, values.NAME, data.NAME and when. A dot\n"
      .. "reaches into objects: [\"values.position.latitude\"]. For the rest of the same event there is when\n"
      .. "= function(event, thred)." },
  { name = "bad_matcher", code = "SRV-P031",
    title = "a matcher that can't be used so",
    text = "The matchers of p.where: a plain value, p.one_of(…), p.none_of(…), p.at_least(n), p.at_most(n),\n"
      .. "p.above(n), p.below(n), p.between(a, b), p.matches \"regex\", p.starts_with \"text\", p.present(),\n"
      .. "p.absent(), and p.answer_to \"NAME\" for the field re." },
  { name = "empty_where", code = "SRV-P032",
    title = "p.where without a field",
    text = "It would match every event. Say which ones: p.where { type = \"…\" }." },
  { name = "bad_template", code = "SRV-P033",
    title = "a template holds something that can't be sent",
    text = "A template's leaves are JSON values or functions of (event, thred): no NaN, no infinity, no\n"
      .. "table with both positions and names, no list with holes, no table inside itself, no condition." },
  { name = "wire_key", code = "SRV-P034", warning = true,
    title = "a key that receivers don't know",
    text = "The fields of an event are fixed: display {uri}, advice {eventType, title, template}, content\n"
      .. "{valuesType, values, tasks, resources, items, error}. Another key is sent as it stands, but it\n"
      .. "is probably misspelt." },
  { name = "terminate_child", code = "SRV-P035", warning = true,
    title = "$terminate beside a child that is spawned",
    text = "Ending a thred ends its children; the child is started and ended again. Spawn a sibling, or go\n"
      .. "on to a reaction that waits for the child." },
  { name = "no_addressee", code = "SRV-P036",
    title = "publish without an addressee",
    text = "publish needs to: a participant, \"$group\", \"$thred\", \"$all\", a service, a list of these, or a\n"
      .. "function." },
  { name = "unknown_answer", code = "SRV-P037",
    title = "an answer to something that is never published",
    text = "p.answer_to \"NAME\" matches answers to what publish = { to = …, name = \"NAME\" } sent; no publish\n"
      .. "of this pattern has that name." },
  { name = "no_answer_yet", code = "SRV-P038",
    title = "the first reaction waits for an answer",
    text = "The first reaction starts threds; nothing was published yet that an event could answer, so no\n"
      .. "event ever matches." },
  { name = "kept_state", code = "SRV-P040",
    title = "a function keeps something beside the thred",
    text = "A step must give the same again for the same thred and event, on any engine and after a restart. So\n"
      .. "a pattern's functions don't assign to variables of the file, and don't go on with a coroutine or\n"
      .. "iterator that was made outside of them. Keep it in the thred: thred.NAME = … in on_true." },
  { name = "limit_too_high", code = "SRV-P039",
    title = "a limit above what the system gives to a pattern",
    text = "limits = { cpu, wall, memory } of a pattern may be as high as the keys scripts.cpu_max,\n"
      .. "scripts.wall_max and scripts.memory_max of the configuration say (`srvthreds config show`)." },
}

local codes = { list = list, by_name = {}, by_code = {} }
for _, entry in ipairs(list) do
  codes.by_name[entry.name] = entry
  codes.by_code[entry.code] = entry
end

---What `srvthreds explain CODE` prints, or nil.
---@param code string in any case, with or without "SRV-"
---@return string?
function codes.explain(code)
  local wanted = code:upper()
  if not wanted:find("^SRV%-") then wanted = "SRV-" .. wanted end
  local entry = codes.by_code[wanted]
  if not entry then return nil end
  return ("%s: %s%s\n\n%s\n"):format(entry.code, entry.title, entry.warning and " (a warning)" or "", entry.text)
end

return codes
