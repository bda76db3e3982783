# SPDX-License-Identifier: MIT
"""The program's command line, as a person or a script meets it: texts, exit codes, what goes to stdout."""
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from harness import PROGRAM, clean_environment


@pytest.fixture
def run(tmp_path):
    """run(*arguments): without a server; every port is one where nobody listens."""
    def call(*arguments, env=None, input=None, cwd=None):
        ports = {f"SRVTHREDS_{key}_PORT": "1" for key in ("ENGINE", "SESSION", "SESSION_HTTP")}
        return subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, timeout=30, input=input,
                              cwd=cwd or tmp_path, env=clean_environment(tmp_path, {**ports, **(env or {})}))
    return call


def test_alone_it_explains_itself(run):
    done = run()
    assert done.returncode == 0 and done.stderr == ""
    examples = [line for line in done.stdout.split("\n") if line.startswith("  srvthreds ")]
    assert len(examples) == 3


@pytest.mark.parametrize("arguments,says", [
    (["verson"], 'unknown verb "verson" [SRV-C002]\n  did you mean `srvthreds version`?'),
    (["dead", "retyr", "1"], 'unknown verb "dead retyr" [SRV-C002]\n  did you mean `srvthreds dead retry`?'),
    (["dev", "--sesion-port", "1"], "dev: unknown flag --sesion-port [SRV-C003]\n  did you mean `--session-port`?"),
    (["dev", "--session-port", "x"], 'session.port: "x" is not a port from 0 to 65535 [SRV-C004]'),
    (["join"], "join needs PARTICIPANT: "),
    (["send", "values.x=1"], "an event needs a type: type=NAME"),
    (["config", "show", "sesion"], 'no key has "sesion" in its name [SRV-C007]\n  did you mean `session`?'),
    (["config", "show", "zzz"], 'no key has "zzz" in its name [SRV-C007]\n  srvthreds config show lists them all'),
    (["config", "show", "--config", "none.lua"], "can't read none.lua: No such file or directory [SRV-C008]"),
])
def test_wrong_usage_is_2_and_names_what_was_meant(run, arguments, says):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr


@pytest.mark.parametrize("arguments", [["threds", "list"], ["watch"], ["join", "participant0"], ["dead", "list"],
                                       ["send", "type=x", "--timeout", "100ms"]])
def test_nobody_there_is_4_and_says_what_to_do(run, arguments):
    done = run(*arguments)
    assert done.returncode == 4, done.stderr
    assert "nothing answers at " in done.stderr and "srvthreds dev" in done.stderr


def test_config_show_says_where_each_value_came_from(run, tmp_path):
    (tmp_path / "srvthreds.lua").write_text('return { session = { http_port = 7 }, data = "./d" }')
    done = run("config", "show", "-o", "json", "--log-level", "debug", env={"SRVTHREDS_TOKEN": "abc"})
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["data"] == {"key": "data", "value": "./d", "source": "file srvthreds.lua"}
    assert rows["session.http_port"]["value"] == 1, "the environment comes before the file"
    assert rows["log.level"] == {"key": "log.level", "value": "debug", "source": "flag --log-level"}
    assert rows["token"]["value"] == "********"
    assert "abc" not in done.stdout


def test_check_prints_problems_and_is_3(run, tmp_path):
    (tmp_path / "bad.lua").write_text('local p = require "srvthreds.pattern"\n'
                                      'return p.pattern "X" { p.reaction "a" { p.where { tipe = "x" } } }\n')
    done = run("check", "bad.lua")
    assert done.returncode == 3
    assert "bad.lua:2:" in done.stdout and "did you mean `type`?" in done.stdout
    line = json.loads(run("check", "bad.lua", "-o", "jsonl").stdout.split("\n")[0])
    assert (line["file"], line["line"], line["nearest"]) == ("bad.lua", 2, "type")


def test_check_reads_the_scripts_of_a_profile(run, tmp_path):
    for folder in ("patterns", "scripts"):
        (tmp_path / "here" / folder).mkdir(parents=True)
    (tmp_path / "here" / "profile.lua").write_text("return {}")
    (tmp_path / "here" / "scripts" / "good.lua").write_text("return function() end")
    assert run("check", "here").returncode == 0
    (tmp_path / "here" / "scripts" / "bad.lua").write_text("local a\nreturn a.b")
    (tmp_path / "here" / "scripts" / "other.lua").write_text("return 7")
    for done in run("check", "here"), run("check", cwd=tmp_path / "here"):
        assert done.returncode == 3
        assert "scripts/bad.lua:2: error: attempt to index a nil value (local 'a') [SRV-S002]" in done.stdout
        assert "    2 | return a.b" in done.stdout
        assert "scripts/other.lua: error: " in done.stdout and "[SRV-S004]" in done.stdout
        assert "1 of 3 files are good" in done.stdout + done.stderr
    assert run("explain", "s4").stdout.startswith("SRV-S004: ")


def test_explain(run):
    done = run("explain", "SRV-P006")
    assert done.returncode == 0 and done.stdout.startswith("SRV-P006: an unknown key\n")
    assert run("explain", "SRV-X1").returncode == 1


def test_explain_knows_every_code_of_the_model(run):
    header = (Path(__file__).parents[2] / "core" / "base" / "base.h").read_text()
    numbers = re.findall(r"X\(ERROR_\w+, (\d+),", header)
    assert len(numbers) >= 10
    for number in numbers:
        assert run("explain", number).stdout.startswith(number + ": ")


def test_help_has_no_empty_line_twice(run):
    for verb in ("threds", "patterns", "dead", "config", "send"):
        assert "\n\n\n" not in run(verb, "--help").stdout


def test_new_makes_a_project_that_is_good_and_never_overwrites(run, tmp_path):
    assert run("new", "greeter").returncode == 0
    assert run("check", cwd=tmp_path / "greeter").returncode == 0
    assert run("new", "greeter").returncode == 5


def test_agents_of_their_own_are_refused(run):
    done = run("agent", "-c", "session_agent", "-i", "org.wt.session1")
    assert done.returncode == 5 and "SRV-C012" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell):
    done = run("completion", shell)
    assert done.returncode == 0 and "patterns" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_bash_completes(run):
    script = run("completion", "bash").stdout + """
    COMP_WORDS=(srvthreds pat) COMP_CWORD=1; _srvthreds; echo "${COMPREPLY[*]}"
    COMP_WORDS=(srvthreds dead re) COMP_CWORD=2; _srvthreds; echo "${COMPREPLY[*]}"
    COMP_WORDS=(srvthreds send --wa) COMP_CWORD=2; _srvthreds; echo "${COMPREPLY[*]}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "patterns\nretry\n--wait\n"


def test_the_reader_of_a_pipe_may_go_away(run, tmp_path):
    done = subprocess.run(["bash", "-c", f"{PROGRAM} config show | head -1; exit ${{PIPESTATUS[1]}}"], text=True,
                          capture_output=True, cwd=tmp_path, env=clean_environment(tmp_path, {}))
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("KEY")


def test_no_colour_where_no_terminal_is(run):
    assert "\x1b" not in run("config", "show").stdout
    assert "\x1b" not in run("config", "show", env={"NO_COLOR": "1", "TERM": "xterm"}).stdout


def test_lua_files_that_are_not_there(run, tmp_path):
    done = run("version", env={"SRVTHREDS_LUA": str(tmp_path)})
    assert done.returncode == 1 and "SRVTHREDS_LUA" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_port_that_is_taken_is_named_with_its_flag(run, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("dev", "dev", "--engine-port", "0", "--session-port", str(taken.getsockname()[1]))
    assert done.returncode == 1 and "session.port: cannot listen on 127.0.0.1:" in done.stderr, done.stderr
    assert "--session-port" in done.stderr
