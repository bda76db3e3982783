-- SPDX-License-Identifier: MIT
-- What the command line and the configuration can complain of: stable codes, and what `srvthreds explain CODE` says.

---@class srvthreds.cli.Code
---@field name string
---@field code string stable, never given to another mistake
---@field exit integer 1 failed, 2 wrong usage, 3 differences, 4 not reachable or timed out, 5 refused
---@field title string
---@field text string

---@type srvthreds.cli.Code[]
local list = {
  { name = "failed", code = "SRV-C001", exit = 1, title = "the command failed",
    text = [[
The command was understood, but what it asked for could not be done. The message says what and why.]] },
  { name = "unknown_verb", code = "SRV-C002", exit = 2, title = "an unknown verb",
    text = [[
The first word behind `srvthreds` is the verb: what is to be done. `srvthreds --help` lists them
all.]] },
  { name = "unknown_flag", code = "SRV-C003", exit = 2, title = "an unknown flag",
    text = [[
A flag is one of the verb's own (`srvthreds VERB --help`) or a key of the configuration with
hyphens: session.http_port is --session-http-port. `srvthreds config show` lists the keys. Write
`--` before an argument that begins with a hyphen and is no flag.]] },
  { name = "bad_value", code = "SRV-C004", exit = 2, title = "a value that can't be used",
    text = [[
The flag or key is known, its value is not of its kind. Durations: 250ms, 30s, 5m, 2h, 7d. Sizes:
64KiB, 1MiB or a number of bytes. Booleans: true, false. docs/configuration.md says the kind of each
key.]] },
  { name = "missing", code = "SRV-C005", exit = 2, title = "something is missing on the command line",
    text = [[
The verb needs an argument, or the flag a value. `srvthreds VERB --help` begins with examples.]] },
  { name = "too_many", code = "SRV-C006", exit = 2, title = "more arguments than the verb takes",
    text = [[
Arguments that hold spaces need quotation marks: srvthreds send '{"type": "org.wt.echo"}'.]] },
  { name = "unknown_key", code = "SRV-C007", exit = 2, title = "an unknown key of the configuration",
    text = [[
A configuration file, an environment variable SRVTHREDS_… or `config show` names a key that doesn't
exist; it is refused rather than passed over, because it is usually a misspelt one. `srvthreds config
show` lists the keys.]] },
  { name = "config_file", code = "SRV-C008", exit = 2, title = "a configuration file that can't be used",
    text = [[
A configuration file is Lua that returns a table of keys:

  return {
    data = "/var/lib/srvthreds",
    session = { port = 3000, http_port = 3001 },
    ["log.level"] = "debug",
  }

Texts in it may say ${VAR||default}: the environment variable, or the default if it is unset or
empty.]] },
  { name = "secret_flag", code = "SRV-C009", exit = 2, title = "a secret as a flag",
    text = [[
What stands on a command line can be read by everybody on the machine and stays in the shell's
history. Put the secret into the environment (SRVTHREDS_TOKEN) or into a file that the environment
names (SRVTHREDS_TOKEN_FILE).]] },
  { name = "unreachable", code = "SRV-C010", exit = 4, title = "no running system at that address",
    text = [[
Nothing answers there. Start it (`srvthreds dev`), or say where it is: --server HOST with --engine-
port (admin, 8082), --session-port (WebSocket, 3000), --session-http-port (HTTP, 3001). `srvthreds
doctor` looks at all of it.]] },
  { name = "timeout", code = "SRV-C011", exit = 4, title = "no answer in time",
    text = [[
The system was asked and did not answer in time. What was sent may still have an effect: an event
keeps its id, so that sending it again is harmless.]] },
  { name = "refused", code = "SRV-C012", exit = 5, title = "the system refused",
    text = [[
The request was understood and not allowed, or it contradicts the state of the system. The message
says why.]] },
  { name = "no_token", code = "SRV-C013", exit = 5, title = "no token, or one that is not accepted",
    text = [[
Verbs that look at a system use the administrator's token: SRVTHREDS_ADMIN_TOKEN,
SRVTHREDS_ADMIN_TOKEN_FILE, or the file DATA/admin.token that the system makes (say --data if it is
not ./srvthreds-data). `send` and `join` use SRVTHREDS_TOKEN, SRVTHREDS_TOKEN_FILE, or the
participant's id where `srvthreds dev` allows it on loopback.]] },
  { name = "not_found", code = "SRV-C014", exit = 1, title = "there is nothing of that name or id",
    text = [[
The id or name is unknown to the system. `srvthreds threds list`, `patterns list` and `dead list`
show what there is; ended threds stay in the archive for a while only.]] },
  { name = "problems", code = "SRV-C015", exit = 3, title = "checks found problems",
    text = [[
The files were read; what was found is printed with file, line and code. Nothing was changed.]] },
  { name = "bad_event", code = "SRV-C016", exit = 2, title = "what is to be sent is not an event",
    text = [[
An event is JSON with at least a type, or pairs: srvthreds send type=org.wt.echo
values.echoTo=participant0 The short form puts values.NAME into data.content.values; every other
name is a path in the event.]] },
  { name = "not_confirmed", code = "SRV-C017", exit = 5, title = "not confirmed",
    text = [[
The command changes the state of the system and asks first. Say --yes where nobody can answer.]] },
  { name = "exists", code = "SRV-C018", exit = 5, title = "it exists already",
    text = [[
The command makes something new and never overwrites what is there. Take another name, or move the
old one away.]] },
}

local codes = { list = list, by_name = {}, by_code = {} }
for _, entry in ipairs(list) do
  codes.by_name[entry.name] = entry
  codes.by_code[entry.code] = entry
end

return codes
