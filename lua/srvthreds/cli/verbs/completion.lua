-- SPDX-License-Identifier: MIT
local args = require "srvthreds.cli.args"
local output = require "srvthreds.cli.output"
local problem = require "srvthreds.cli.problem"
local verbs = require "srvthreds.cli.verbs"
local config = require "srvthreds.config"

local function flags_of(verb)
  local out = {}
  for _, list in ipairs { verb.flags or {}, args.common } do
    for _, flag in ipairs(list) do out[#out + 1] = "--" .. flag.name end
  end
  for _, key in ipairs(verb.keys or {}) do out[#out + 1] = "--" .. config.flag_of(key) end
  return table.concat(out, " ")
end

-- { name, words: the verbs below it, flags }
local function all_verbs()
  local all = {}
  for _, name in ipairs(verbs.names) do
    local verb = verbs.load(name)
    local below, flags = {}, flags_of(verb)
    for _, one in ipairs(verb.verbs or {}) do
      below[#below + 1] = one.name:match("%S+$")
      flags = flags .. " " .. flags_of(one)
    end
    all[#all + 1] = { name = name, words = table.concat(below, " "), flags = flags }
  end
  return all
end

local function bash(all)
  local cases = {}
  for _, verb in ipairs(all) do
    cases[#cases + 1] = ("\t%s) words=%q flags=%q ;;"):format(verb.name, verb.words, verb.flags)
  end
  local parts = { NAMES = table.concat(verbs.names, " "), CASES = table.concat(cases, "\n") }
  return ([==[
# srvthreds, for bash: source <(srvthreds completion bash)
_srvthreds() {
	local words="" flags="" now=${COMP_WORDS[COMP_CWORD]}
	if [[ $COMP_CWORD -eq 1 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "NAMES" -- "$now")
		return
	fi
	case ${COMP_WORDS[1]} in
CASES
	esac
	if [[ $now == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$now")
	elif [[ $COMP_CWORD -eq 2 && -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$now")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$now")
	fi
}
complete -F _srvthreds srvthreds]==]):gsub("%u%u%u%u%u", parts)
end

-- zsh reads bash's completions.
local function zsh(all)
  return "# srvthreds, for zsh: source <(srvthreds completion zsh)\nautoload -U +X bashcompinit && bashcompinit\n" .. bash(all)
end

local function fish(all)
  local out = { "# srvthreds, for fish: srvthreds completion fish | source" }
  for _, verb in ipairs(verbs.list) do
    if verb.name then
      out[#out + 1] = ("complete -c srvthreds -n __fish_use_subcommand -f -a %s -d '%s'"):format(verb.name,
        verb.line:gsub("'", ""))
    end
  end
  for _, verb in ipairs(all) do
    local when = ("-n '__fish_seen_subcommand_from %s'"):format(verb.name)
    if verb.words ~= "" then out[#out + 1] = ("complete -c srvthreds %s -f -a '%s'"):format(when, verb.words) end
    for flag in verb.flags:gmatch("%-%-(%S+)") do out[#out + 1] = ("complete -c srvthreds %s -l %s"):format(when, flag) end
  end
  return table.concat(out, "\n")
end

local shells = { bash = bash, zsh = zsh, fish = fish }

local function run(call)
  local shell = shells[call.words[1]]
  if not shell then
    problem.raise("bad_value", ("%q is none of bash, zsh, fish"):format(call.words[1]), { hint = call.verb.examples[1][1] })
  end
  output.line((shell(all_verbs())))
  return 0
end

return {
  name = "completion", run = run, no_config = true, words = { { name = "SHELL", help = "bash, zsh or fish" } },
  examples = {
    { "source <(srvthreds completion bash)", "in ~/.bashrc" },
    { "source <(srvthreds completion zsh)", "in ~/.zshrc" },
    { "srvthreds completion fish | source", "in config.fish" },
  },
  about = "Prints what a shell needs to complete verbs and flags.",
}
