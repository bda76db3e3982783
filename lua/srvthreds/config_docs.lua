-- SPDX-License-Identifier: MIT
-- docs/configuration.md, made from the table of keys. A test compares the two.
local config = require "srvthreds.config"
local keys = require "srvthreds.config_keys"
local values = require "srvthreds.config_values"

local docs = {}

local intro = [[
<!-- Made by `srvthreds config docs > docs/configuration.md`; edit lua/srvthreds/config_keys.lua instead. -->
# Configuration

Every key is a flag of every verb (`session.http_port` is `--session-http-port`), a name in the environment
(`SRVTHREDS_SESSION_HTTP_PORT`) and a key of a configuration file. What counts, from the first to the last:

1. flags
2. the environment; `NAME_FILE` names a file that holds a secret
3. the project file `./srvthreds.lua`, or the one of `--config FILE`
4. the user's file `~/.config/srvthreds/config.lua`
5. the defaults

`srvthreds config show` prints each value and where it came from. An unknown key is an error that names the nearest one.
A file is Lua that returns a table; texts in it may say `${VAR||default}`:

```lua
return {
  data = "/var/lib/srvthreds",
  bind = "${BIND||127.0.0.1}",
  session = { port = 3000, http_port = 3001 },
  ["log.level"] = "info,store=debug",
}
```

Durations are written `250ms`, `30s`, `5m`, `2h`, `7d`; sizes `64KiB`, `1MiB`, or a number of bytes. A list is repeated
as a flag (`--patterns a --patterns b`), has commas in the environment, and is a list in a file. A boolean is
`--auth-dev-tokens` or `--no-auth-dev-tokens`. Secrets have no flag.
]]

local function default_of(entry)
  if entry.default ~= nil and not (type(entry.default) == "table" and #entry.default == 0) then
    return "`" .. values.show(entry, (values.parse(entry, entry.default))) .. "`"
  end
  return entry.unset or ""
end

local function help_of(entry)
  local text = entry.help
  if entry.choices then text = ("%s (%s)"):format(text, table.concat(entry.choices, ", ")) end
  if entry.later and not entry.only then text = ("%s; refused: %s"):format(text, entry.later) end
  if entry.later and entry.only then text = ("%s; %s"):format(text, entry.later) end
  if entry.secret then text = text .. "; secret" end
  if entry.alias then text = ("%s; also `%s`"):format(text, table.concat(entry.alias, "`, `")) end
  return text
end

---@return string markdown
function docs.text()
  local out = { intro }
  for _, entry in ipairs(keys) do
    if entry.group then
      out[#out + 1] = ("\n## %s\n\n| key | kind | default | what |\n|---|---|---|---|\n"):format(entry.group)
    else
      assert(config.by_key[entry.key])
      out[#out + 1] = ("| `%s` | %s | %s | %s |\n"):format(entry.key, entry.type, default_of(entry), help_of(entry))
    end
  end
  return table.concat(out)
end

return docs
