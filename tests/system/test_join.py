# SPDX-License-Identifier: MIT
"""`srvthreds join`, `send`, `watch` and the verbs of the admin API against a running server, as people and scripts use
them: what is shown, exit codes, and that they go on by themselves when the server was killed."""
import json
import os
import pty
import re
import select
import signal
import subprocess

import pytest

from harness import PROGRAM, until
from verb import environment

ECHO = ("type=org.wt.echo", "values.echoTo=participant0", "values.echoTitle=Hello")


def contact(server, verb):
    """Both are there before the sensor's first reading."""
    ann, bob = verb(server, "join", "participant0"), verb(server, "join", "participant1")
    for one, name in ((ann, "participant0"), (bob, "participant1")):
        one.says(f"You are {name}.")
    for one in (ann, bob):
        one.shows("Possible Contact Detected")
        one.shows("1 Yes   2 No")
    return ann, bob


def test_the_whole_conversation(server, verb):
    ann, bob = contact(server, verb)
    ann.type("maybe")
    ann.type("1")
    ann.says("answer with one of: 1 Yes   2 No")
    for one in (ann, bob):
        one.shows("Robot Deployed")
        one.shows("Would you like to open the robot's video stream?")
    bob.type("#2 yes")
    for one in (ann, bob):
        one.shows("Robot Video Stream")
        one.shows("  video: ")
    ann.type("/quit")
    assert ann.end() == 0


def test_a_script_plays_it_by_a_pipe(server):
    done = server.run("join", "participant0", "--until", "Robot Video Stream", "--timeout", "25s", input="yes\nyes\n")
    assert done.returncode == 0, done.stderr
    titles = ["Possible Contact Detected", "Robot Deployed", "Robot Video Stream"]
    places = [done.stdout.index(title) for title in titles]
    assert places == sorted(places)


def test_the_conversation_goes_on_after_kill_9(server, verb):
    ann, bob = contact(server, verb)
    server.kill()
    for one in (ann, bob):
        one.says("the server went away")
    ann.type("yes")  # while nobody is there: sent when it is there again
    server.start()
    for one in (ann, bob):
        one.says("connected again")
        one.shows("Robot Deployed")
    server.kill()
    server.start()
    bob.type("yes")
    for one in (ann, bob):
        one.shows("Robot Video Stream")
        assert one.out().count("Robot Deployed  ") == 1, one.out()


def test_send_tells_what_became_of_it(server, verb):
    done = server.run("send", *ECHO, "--wait")
    assert done.returncode == 0
    facts = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert facts["outcome"] == "matched" and facts["threds"]
    assert "a thred took it" in done.stderr and "→ participant0: Hello 1" in done.stderr
    done = server.run("send", *ECHO, f"thredId={facts['threds']}", "--wait", "-o", "json")
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "matched" and answer["threds"] == [facts["threds"]]
    assert json.loads(server.run("send", f"id={answer['id']}", *ECHO, f"thredId={facts['threds']}", "--wait", "-o",
                                 "json").stdout)["outcome"] == "duplicate"
    assert "no pattern wants it" in server.run("send", "type=org.wt.nobody", "--wait").stderr


def test_send_by_stdin_and_file(server):
    event = {"type": "org.wt.echo", "data": {"content": {"values": {"echoTo": "participant0", "echoTitle": "x"}}}}
    done = server.run("send", "-", "--wait", "-o", "json", input=json.dumps(event))
    assert json.loads(done.stdout)["outcome"] == "matched", done
    (server.folder / "event.json").write_text(json.dumps(event))
    assert server.run("send", "@event.json", "--as", "participant1").returncode == 0


def test_send_refused(server):
    done = server.run("send", *ECHO, "--as", "nobody")
    assert done.returncode == 5 and "SRV-C013" in done.stderr
    done = server.run("send", "type=x", "thredId=5")
    assert done.returncode == 5, done


def test_send_goes_on_when_the_server_comes_back(server, verb):
    server.kill()
    sending = verb(server, "send", *ECHO, "--wait", "-o", "json")
    sending.says("trying again with the same id")
    server.start()
    assert sending.end(20) == 0
    assert json.loads(sending.out())["outcome"] == "matched"


def test_join_misses_nothing_before_the_first_event(servers, verb):
    server = servers(profile="test").start()
    ann = verb(server, "join", "p0")
    ann.says("You are p0.")
    os.kill(ann.process.pid, signal.SIGSTOP)  # so that it comes back after the message
    try:
        server.kill()
        server.start()
        assert server.run("send", "type=echo", "--as", "p0", "--wait").returncode == 0
    finally:
        os.kill(ann.process.pid, signal.SIGCONT)
    ann.shows("echo 1")
    assert ann.out().count("echo 1") == 1


def test_join_with_a_bad_token(server):
    done = server.run("join", "nobody")
    assert done.returncode == 5 and "SRV-C013" in done.stderr


def test_join_sends_what_is_typed(server, verb):
    ann = verb(server, "join", "participant0", "-o", "jsonl")
    ann.type("/send " + " ".join(ECHO))
    ann.shows("Hello 1")
    event = next(json.loads(line) for line in ann.out().splitlines() if "Hello 1" in line)
    assert event["data"]["title"] == "Hello 1"
    ann.type("/send {")
    ann.says("the event: ")
    ann.type("/nonsense")
    ann.says("there is no /nonsense")


def test_threds(server):
    thred = json.loads(server.run("send", *ECHO, "--wait", "-o", "json").stdout)["threds"][0]
    rows = json.loads(server.run("threds", "list", "--pattern", "echo_test", "-o", "json").stdout)
    assert [row["id"] for row in rows] == [thred]
    assert thred in server.run("threds", "list").stdout
    done = server.run("threds", "show", thred)
    assert "echo_test" in done.stdout and "Hello 1" in done.stdout
    done = server.run("threds", "terminate", thred)
    assert done.returncode == 5 and "SRV-C017" in done.stderr, "it asks, and nobody can answer"
    assert server.run("threds", "terminate", thred, "--dry-run").returncode == 0
    assert server.run("threds", "terminate", thred, "--yes").returncode == 0
    until(lambda: json.loads(server.run("threds", "show", thred, "-o", "json").stdout)["status"] == "finished")
    done = server.run("threds", "show", "nonesuch")
    assert done.returncode == 1 and "SRV-C014" in done.stderr


def test_patterns(server):
    rows = json.loads(server.run("patterns", "list", "-o", "json").stdout)
    assert {"contact_response", "echo_test"} <= {row["id"] for row in rows}
    assert "deployed" in server.run("patterns", "show", "contact_response").stdout
    assert server.run("patterns", "disable", "echo_test", "--yes").returncode == 0
    assert "no pattern wants it" in server.run("send", *ECHO, "--wait").stderr
    assert server.run("patterns", "enable", "echo_test", "--yes").returncode == 0
    assert "a thred took it" in server.run("send", *ECHO, "--wait").stderr


def test_dead_letters_are_none(server):
    done = server.run("dead", "list")
    assert done.returncode == 0 and done.stdout == "" and "no dead letters" in done.stderr
    assert server.run("dead", "list", "-o", "json").stdout == "[]\n"
    assert server.run("dead", "retry", "7", "--yes").returncode == 1


def test_the_admin_token_is_needed(server):
    done = server.run("threds", "list", env={"SRVTHREDS_DATA": str(server.folder)})
    assert done.returncode == 5 and "SRV-C013" in done.stderr
    token = (server.data / "admin.token").read_text()
    assert (server.data / "admin.token").stat().st_mode & 0o777 == 0o600
    env = {"SRVTHREDS_DATA": str(server.folder), "SRVTHREDS_ADMIN_TOKEN": token.strip()}
    assert server.run("threds", "list", env=env).returncode == 0


def test_watch_follows_through_a_restart(server, verb):
    watching = verb(server, "watch", "-o", "jsonl")
    watching.says("watching")
    server.run("send", *ECHO)
    watching.shows("org.wt.echo")
    server.kill()
    watching.says("the system went away")
    server.start()
    watching.says("there again")
    server.run("send", "type=org.wt.second")
    watching.shows("org.wt.second")
    for line in watching.out().splitlines():
        json.loads(line)


def test_doctor(server):
    done = server.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "is ready" in done.stdout
    server.signal(signal.SIGTERM)
    server.wait_exit()
    assert "nothing runs there" in server.run("doctor").stdout


def test_a_second_start_on_the_same_data_is_5_and_names_the_pid(server):
    done = server.run("dev")
    assert done.returncode == 5, done
    assert f"process {server.process.pid} holds" in done.stderr


def read_until(fd, text, timeout=15):
    got = bytearray()

    def look():
        while select.select([fd], [], [], 0)[0]:
            got.extend(os.read(fd, 65536))
        return text.encode() in got
    until(look, timeout, f"\"{text}\" on the terminal: {bytes(got)!r}")
    return got.decode()


def test_join_at_a_terminal(server):
    master, slave = pty.openpty()
    process = subprocess.Popen([str(PROGRAM), "join", "participant0"], stdin=slave, stdout=slave, stderr=slave,
                               cwd=server.folder, env={**environment(server), "TERM": "xterm"}, start_new_session=True)
    os.close(slave)
    try:
        read_until(master, "You are participant0.")
        os.write(master, b"/help\n")
        read_until(master, "answers question #3")
        assert "\x1b[1m" in read_until(master, "1 Yes   2 No"), "bold at a terminal"
        os.write(master, b"what\n")
        read_until(master, "answer with one of: 1 Yes   2 No")
        os.write(master, b"no\n")
        read_until(master, "sent")
        os.write(master, b"yes\n")
        read_until(master, "nothing is asked yet")
        os.write(master, b"\x04")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


FAILING = """
local p = require "srvthreds.pattern"
return p.pattern "Failing" {
  p.reaction "only" {
    p.where { type = "org.wt.fail" } {
      on_true = function(event, thred) thred.x = event:value("position").latitude end,
      transition = "$terminate",
    },
  },
}
"""


@pytest.fixture
def with_patterns(servers, tmp_path):
    folder = tmp_path / "patterns"
    folder.mkdir()
    (folder / "failing.lua").write_text(FAILING)
    server = servers(f"--patterns={folder}").start()
    server.patterns = folder
    return server


def test_dead_letters_are_looked_at_tried_again_and_dropped(with_patterns):
    server = with_patterns
    done = server.run("send", "type=org.wt.fail", "--wait")
    assert done.returncode == 1 and "outcome  error" in done.stdout, done
    rows = json.loads(server.run("dead", "list", "-o", "json").stdout)
    assert len(rows) == 1 and rows[0]["pattern"] == "failing", rows
    letter = str(rows[0]["id"])
    assert "failing" in server.run("dead", "list").stdout
    shown = server.run("dead", "show", letter).stdout
    assert "org.wt.fail" in shown and "only" in shown
    assert server.run("dead", "retry", letter, "--yes").returncode == 0

    def again():
        rows = json.loads(server.run("dead", "list", "-o", "json").stdout)
        return rows[0]["id"] if len(rows) == 1 else None
    letter = str(until(again, what="the letter that failed again"))
    assert server.run("dead", "drop", letter, "--yes").returncode == 0
    assert json.loads(server.run("dead", "list", "-o", "json").stdout) == []


def test_patterns_list_explains_a_bad_file(with_patterns):
    server = with_patterns
    assert server.run("send", "type=org.wt.fail", "--wait").returncode == 1
    (server.patterns / "failing.lua").write_text(FAILING.replace("on_true", "on_ture"))

    def explained():
        text = server.run("patterns", "list").stdout
        return text if "on_ture" in text else None
    text = until(explained, what="the mistake in patterns list")
    assert "failing.lua:6" in text and "on_true" in text and "its file has mistakes" in text
    doctor = server.run("doctor").stdout
    assert "1 pattern file has mistakes" in doctor and "1 dead letter waits" in doctor, "all that it finds"
    shown = server.run("patterns", "show", "failing").stdout
    assert re.search(r"^NAME +LINE +SHAPE +EXPIRY\n\w+ +\d+ +where", shown, re.M), shown
