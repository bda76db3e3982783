-- SPDX-License-Identifier: MIT
local args = require "srvthreds.cli.args"
local codes = require "srvthreds.cli.codes"
local help = require "srvthreds.cli.help"
local runtime = require "core.runtime"
local t = require "srvthreds.spec"
local verbs = require "srvthreds.cli.verbs"

local verb = {
  name = "try", words = { { name = "ONE", help = "the first" }, { name = "TWO", help = "the second", optional = true } },
  flags = {
    { name = "wait", value = "2s", optional = true, type = "duration", help = "how long" },
    { name = "yes", short = "y", help = "don't ask" },
    { name = "dry", short = "n", help = "do nothing" },
    { name = "kind", short = "c", value = "KIND", many = true, help = "a kind" },
    { name = "id", short = "i", value = "ID", many = true, help = "an id" },
  },
  examples = { { "srvthreds try this" } },
}

local function parse(...)
  return args.parse(verb, { ... })
end

t.test("words and flags in any order", function()
  local call = parse("a", "--wait", "b", "-y", "--session-port=1", "--data", "d")
  t.eq(call.words, { "a", "b" })
  t.eq(call.flags, { wait = true, yes = true })
  t.eq(call.keys, { ["session.port"] = { "1" }, data = { "d" } })
end)

t.test("values of flags", function()
  t.eq(parse("a", "--wait=5s").flags.wait, 5000)
  t.eq(parse("a", "-yn").flags, { yes = true, dry = true })
  t.eq(parse("a", "-cx", "-i", "y", "-c=z").flags, { kind = { "x", "z" }, id = { "y" } })
  t.eq(parse("a", "-c", "x", "-i", "y").order, { { "kind", "x" }, { "id", "y" } })
  t.eq(parse("a", "-o", "json").flags.output, "json")
end)

t.test("booleans of the configuration take no word", function()
  t.eq(parse("a", "--auth-dev-tokens", "b").keys, { ["auth.dev_tokens"] = { "true" } })
  t.eq(parse("a", "--no-auth-dev-tokens").keys, { ["auth.dev_tokens"] = { "false" } })
end)

t.test("-- ends the flags; a lone hyphen and a negative number are words", function()
  t.eq(parse("--", "-y", "--wait").words, { "-y", "--wait" })
  t.eq(parse("-", "-5").words, { "-", "-5" })
end)

local function message(...)
  local words = { ... }
  return tostring(t.raises(function() args.parse(verb, words) end, ""))
end

t.test("messages", function()
  t.eq(message("a", "--wiat"), "srvthreds: try: unknown flag --wiat [SRV-C003]\n  did you mean `--wait`?\n"
    .. "  srvthreds try --help shows its flags")
  t.eq(message("a", "--sesion-port", "5"), "srvthreds: try: unknown flag --sesion-port [SRV-C003]\n"
    .. "  did you mean `--session-port`?\n  srvthreds try --help shows its flags")
  t.eq(message(), "srvthreds: try needs ONE: the first [SRV-C005]\n  for example: srvthreds try this\n"
    .. "  srvthreds try --help shows its flags")
  t.eq(message("a", "b", "c"), 'srvthreds: try: "c" is one argument too many [SRV-C006]\n'
    .. "  srvthreds try --help shows its flags")
  t.eq(message("a", "--data"), "srvthreds: --data needs a value [SRV-C005]")
  t.eq(message("a", "--yes=1"), "srvthreds: --yes takes no value [SRV-C004]")
  t.eq(message("a", "--wait=x"), 'srvthreds: --wait: "x" is not a duration such as 250ms, 30s, 5m, 2h or 7d [SRV-C004]\n'
    .. "  how long")
  t.eq(message("a", "-o", "jsno"), 'srvthreds: -o: "jsno" is none of table, json, jsonl [SRV-C004]\n'
    .. "  did you mean `json`?\n  table, json or jsonl")
  t.eq(message("a", "--token", "x"), "srvthreds: --token: a secret is never a flag [SRV-C009]\n"
    .. "  set SRVTHREDS_TOKEN, or SRVTHREDS_TOKEN_FILE to the file that holds it")
end)

t.test("help begins with examples", function()
  t.eq(help.verb(verb), [[
  srvthreds try this

srvthreds try ONE [TWO] [FLAG…]

  ONE  the first
  TWO  the second

      --wait[=2s]    how long
  -y, --yes          don't ask
  -n, --dry          do nothing
  -c, --kind KIND    a kind
  -i, --id ID        an id
  -h, --help         examples, flags and what it does
      --config FILE  the configuration file, instead of ./srvthreds.lua]])
end)

local function each_verb(fn)
  for _, name in ipairs(verbs.names) do
    local one = verbs.load(name)
    fn(one, name)
    for _, below in ipairs(one.verbs or {}) do fn(below, below.name) end
  end
end

t.test("every verb has examples of its own, words with help, and fits in 120 columns", function()
  each_verb(function(one, name)
    t.eq(one.name, name)
    t.ok(one.run or one.verbs, name .. " does something")
    t.ok(one.examples and one.examples[1], name .. " has examples")
    t.ok(one.examples[1][1]:find(name, 1, true), name .. " is in its first example")
    for line in help.verb(one):gmatch("[^\n]+") do t.ok(utf8.len(line) <= 120, name .. ": " .. line) end
  end)
  for line in help.all():gmatch("[^\n]+") do t.ok(utf8.len(line) <= 120, line) end
end)

-- GOLDEN=write makes it anew; read the difference before it is committed.
t.test("all help texts are as they were", function()
  local path, out = "tests/spec/golden/cli_help.txt", {}
  local function add(command, text) out[#out + 1] = ("$ %s\n%s\n"):format(command, text) end
  add("srvthreds", help.short())
  add("srvthreds --help", help.all())
  each_verb(function(one, name) add(("srvthreds %s --help"):format(name), help.verb(one)) end)
  local text = table.concat(out, "\n")
  if os.getenv "GOLDEN" == "write" then assert(runtime.write_file(path, text)) end
  local golden = assert(runtime.read_file(path))
  for line in text:gmatch("[^\n]+") do
    t.ok(golden:find(line, 1, true), "not in the golden text: " .. line)
  end
  t.ok(golden == text, "the golden text differs")
end)

t.test("every name of the help is listed once, every code is there once", function()
  local seen = {}
  for _, name in ipairs(verbs.names) do
    t.ok(not seen[name], name)
    seen[name] = true
    t.ok(help.all():find("\n  " .. name .. " ", 1, true), name)
  end
  for i, entry in ipairs(codes.list) do
    t.eq(entry.code, ("SRV-C%03d"):format(i))
    t.ok(#entry.text > 40 and entry.exit)
  end
end)

return t.finish()
