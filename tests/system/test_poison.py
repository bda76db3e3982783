# SPDX-License-Identifier: MIT
"""Poison among neighbours: what can't be accepted is refused at the edge and counted, what fails is a dead letter that
says where, what kills the process is one at its third try; and meanwhile everybody else is served."""
import json
import os
import re
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness import LOOP, SANITIZED, Refused, load, until
from neighbours import Neighbours

PROFILES = Path(__file__).parent / "profiles"
BAD = PROFILES / "poison" / "patterns"


@pytest.fixture
def server(servers):
    return servers(f"--profiles={PROFILES}", "--pause-after=0", profile="poison").start()


def refused(server):
    _, text = server.http("GET", "/metrics", port="engine_port")
    return int(re.search(r"^srvthreds_events_refused_total (\d+)", text, re.M).group(1))


def events(server):
    with closing(sqlite3.connect(f"file:{server.data}/srvthreds.db?mode=ro", uri=True)) as db:
        return db.execute("select count(*) from event").fetchone()[0]


def deep(depth):
    return b'{"type":"x","data":{"content":{"values":' + b"[" * depth + b"]" * depth + b"}}}"


POISON = {
    "no JSON": (b'{"type": "x", ', 400),
    "not UTF-8": (b'{"type": "x", "data": {"title": "\xff\xfe"}}', 400),
    "10 MB": (b'{"type": "x", "data": {"title": "' + b"a" * 10_000_000 + b'"}}', 413),
    "depth 10,000": (deep(10_000), 400),
}


def raw_http(server, body):
    """The status, also when the server answers and closes before it has read all."""
    try:
        return server.http("POST", "/event", body, token="p0")[0]
    except (BrokenPipeError, ConnectionResetError):
        return 413


def write_text(client, text):
    """A text frame of any bytes: the library sends bytes as a binary frame and text as UTF-8 only."""
    mask, length = b"\0\0\0\0", len(text)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length) if length < 65536 \
        else b"\xff" + struct.pack(">Q", length)

    async def send():
        client.socket.transport.write(b"\x81" + size + mask + text)
    LOOP.call(send(), 10)


def test_refused_at_the_edge(server):
    before = refused(server)
    stored = events(server)
    with Neighbours(server, load(1000)) as neighbours:
        for name, (body, status) in POISON.items():
            assert raw_http(server, body) == status, name
        keeps = server.connect("p0")
        for name, frame in (("no JSON", b'{"event": {"type"'), ("depth", b'{"event": ' + deep(10_000) + b"}"),
                            ("no type", b'{"event": {}}'), ("no event", b'{"event": 7}')):
            count = len(keeps.errors)
            write_text(keeps, frame)
            until(lambda: len(keeps.errors) > count, what=f"the error of {name}")  # noqa: B023
        assert not keeps.close_code
        keeps.errors.clear()
        keeps.send({"type": "org.test.nobody"})  # the connection is as good as before
        for frame, code in ((b'{"event": {"type": "\xff"}}', 1007), (b"a" * 10_000_000, 1009)):
            with server.connect("p1") as client:
                write_text(client, frame)
                assert client.wait_closed() == code
        assert neighbours.going() or SANITIZED
    print(f"neighbours' p99 beside refused poison: {neighbours.p99():.1f} ms")
    keeps.close()
    assert refused(server) - before == 4 + 4 + 2
    _, stats = server.admin("GET", "/api/stats")
    assert stats["store"]["counts"]["dead"] == 0
    # A begin, its answers, and the one that nobody wants: nothing of the poison.
    assert events(server) - stored == 4 + 2 * 4 * (load(1000) // 4) + 1
    assert neighbours.p99() < 1000


def line_of(name):
    """file:line of the mistake."""
    for path in BAD.glob("*.lua"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.endswith(f"-- BAD {name}"):
                return f"{path.name}:{number}"
    raise AssertionError(f"no line says BAD {name}")


SCRIPTS = ["error", "loop", "pcall", "coroutine", "recursion", "memory", "find", "rep", "local"]


def fail(server, client, name, thred):
    """Sends one bad event and looks at what its sender and the operator get. Returns how long the sender waited."""
    begin = time.monotonic()
    sent = client.send({"type": f"bad.{name}", **({"thredId": thred} if thred else {})})
    told = client.wait(lambda event: event.get("re") == sent)
    took = time.monotonic() - begin
    error = told["data"]["content"]["error"]
    pattern, reaction = ("bad", "fail") if thred else ("filter", "ask")
    place = line_of(name)
    for word in (f'pattern "{pattern.capitalize()}"', f'reaction "{reaction}"', place):
        assert word in error["message"], f"{name}: {word} is not in {error}"
    _, dead = server.admin("GET", "/api/dead?limit=1000")
    letter, = [d for d in dead["items"] if d["event"]["id"] == sent]
    assert (letter["pattern"], letter["reaction"]) == (pattern, reaction) and letter["version"], letter
    assert letter["target"] == (f"thred:{thred}" if thred else "start:filter")
    assert place == f"{letter['error']['file'].split('/')[-1]}:{letter['error']['line']}", letter
    return took


def test_scripts_that_fail(server):
    slow = 5 if SANITIZED else 1
    with server.connect("p0") as client:
        _, answer = server.http("POST", "/event?wait=10s", {"type": "bad.begin"}, token="p0")
        thred, = answer["threds"]
        withheld = server.withheld()
        with Neighbours(server, load(2000)) as neighbours:  # five seconds of them
            took = {name: fail(server, client, name, thred) for name in SCRIPTS}
            took["filter"] = fail(server, client, "filter", None)
            assert neighbours.going() or SANITIZED
            withheld = server.withheld() - withheld
        _, after = server.admin("GET", f"/api/threds/{thred}")
        assert after["reaction"] == "fail" and after["status"] == "active" and after["locals"] == {}
    print("told after ms: " + ", ".join(f"{name} {t * 1000:.0f}" for name, t in took.items())
          + f"; neighbours' p99 {neighbours.p99():.1f} ms")
    assert max(took.values()) < slow + withheld, took
    assert neighbours.p99() < 1000 * slow
    _, stats = server.admin("GET", "/api/stats")
    assert stats["store"]["counts"]["dead"] == len(SCRIPTS) + 1


def running(server):
    """The key of the delivery whose Lua runs (DATA/running), 0 if none."""
    return struct.unpack("=Q", (server.data / "running").read_bytes()[:8])[0]


def kill_three_times(server):
    """Ends the process three times within the script that runs for long; others are served in between."""
    deaths, tries = 0, 0
    while deaths < 3:
        tries += 1
        assert tries <= 20, f"only {deaths} of {tries} kills hit it"
        # It has run for a while, in many slices, so what ends the process in it is found in it.
        seen = until(lambda: [k for k in (running(server) for _ in range(50)) if k] or None, 10, "it to run")
        time.sleep(0.05)
        server.kill()
        deaths += running(server) == seen[0]
        server.start()
        if deaths < 3:
            with server.connect("p4") as other:
                until(lambda: other.send({"type": "org.test.nobody"}), what="others to be served")
    return tries


def test_an_event_that_kills_the_process(server):
    """Killed while it runs, three times; its script is given up before it runs a fourth time."""
    with server.connect("p0") as client:
        sent = client.send({"type": "bad.kill"})
    tries = kill_three_times(server)
    dead = until(lambda: server.admin("GET", "/api/dead")[1]["items"], 10, "the dead letter")
    assert [d["event"]["id"] for d in dead] == [sent]
    error, place = dead[0]["error"], line_of("kill")
    assert "ended 3 times" in error["message"] and place in error["message"], dead
    assert (dead[0]["pattern"], dead[0]["reaction"]) == ("killer", "run") and dead[0]["version"], dead
    assert f"{Path(error['file']).name}:{error['line']}" == place, dead
    shown = server.run("dead", "show", str(dead[0]["id"])).stdout
    assert "killer" in shown and place in shown, shown
    with server.connect("p0") as client:
        assert client.send({"type": "bad.kill", "id": sent}) == sent  # answered as the first was; not run again
    with Neighbours(server, load(1000)) as neighbours:
        pass
    print(f"{tries} kills for 3 that hit; neighbours' p99 afterwards {neighbours.p99():.1f} ms")
    assert running(server) == 0
    assert len(server.admin("GET", "/api/dead")[1]["items"]) == 1
    _, events = server.admin("GET", f"/api/events/{sent}")
    assert "error" in json.dumps(events)


def test_a_timer_that_kills_the_process(server):
    """The same where no event is to blame: its thred stays where it was."""
    _, answer = server.http("POST", "/event?wait=10s", {"type": "bad.wait"}, token="p0")
    thred, = answer["threds"]
    kill_three_times(server)
    letter, = until(lambda: server.admin("GET", "/api/dead")[1]["items"], 10, "the dead letter")
    error, place = letter["error"], line_of("late")
    assert (letter["target"], letter["attempts"]) == (f"timer:{thred}", 3), letter
    assert "ended 3 times while its time was over" in error["message"] and place in error["message"], letter
    assert (letter["pattern"], letter["reaction"]) == ("late_killer", "run"), letter
    _, after = server.admin("GET", f"/api/threds/{thred}")
    assert (after["reaction"], after["status"]) == ("hold", "active") and not after.get("due"), after
    assert running(server) == 0


@pytest.mark.skipif(not os.environ.get("SRVTHREDS_FAULTS"), reason="a script gets stuck in debug builds only")
def test_the_watchdog_ends_the_process(server):
    """It says what it was stuck in; at the third time so does the dead letter, and what it took."""
    server.stop()
    for i in range(3):
        stuck = "5" if i else "500"  # not before the sender has been told that it is accepted
        server.start("--scripts-watchdog=1s", env={"SRVTHREDS_FAULT_STUCK": stuck}, wait=i == 0)
        if i == 0:
            with server.connect("p0") as client:
                sent = client.send({"type": "bad.kill"})
        assert server.wait_exit(30) == 70
    said = [line for line in server.log_text().splitlines() if line.startswith("srvthreds: the process ends: ")]
    assert len(said) == 3 and all('pattern "killer", reaction "run"' in line for line in said), said
    assert all(line_of("kill") in line for line in said), said
    server.start()
    letter, = until(lambda: server.admin("GET", "/api/dead")[1]["items"], 10, "the dead letter")
    assert letter["event"]["id"] == sent and (letter["pattern"], letter["reaction"]) == ("killer", "run"), letter
    for word in ("ended 3 times", "could not be interrupted for 1.", "the limit is 1.0 s", line_of("kill")):
        assert word in letter["error"]["message"], letter


def test_refused_is_an_error_frame(server):
    with server.connect("p0") as client, pytest.raises(Refused, match="come from the system only"):
        client.send({"type": "org.wt.tell"})
