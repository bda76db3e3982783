# SPDX-License-Identifier: MIT
"""A pattern whose scripts go wrong pauses: it costs nobody else anything, what is for it waits and is done once."""
import json
import os
import random
import time
from pathlib import Path

import pytest

from harness import Server, load, until
from load import Sender, begin, plan, report, undelivered
from neighbours import Neighbours
from test_kill import replay, settle

PROFILES = Path(__file__).parent / "profiles"
SEED = int(os.environ.get("SRVTHREDS_SEED", "1"))

SPIN = """local p = require "srvthreds.pattern"
return p.pattern "Spin" {
  limits = { cpu = "50ms" },
  p.reaction "begin" { p.where { type = "spin.begin" } { on_true = function(_, thred) thred.seen = "" end } },
  p.reaction "work" { p.any {
    p.where { type = "spin.loop" } { transition = "$noTransition",
      on_true = function() while true do end end }, -- LOOP
    p.where { type = "spin.add" } { transition = "$noTransition",
      on_true = function(event, thred) thred.seen = thred.seen .. event:value "n" end },
  } },
}
"""


@pytest.fixture
def spin(servers):
    """A server with the pattern Spin beside those that work, paused after three runaways."""
    server = servers(f"--profiles={PROFILES}", "--pause-after=3", profile="poison")
    (server.folder / "patterns").mkdir()
    server.file = server.folder / "patterns" / "spin.lua"
    server.file.write_text(SPIN)
    server.start(f"--patterns={server.file.parent}")
    _, answer = server.http("POST", "/event?wait=10s", {"type": "spin.begin"}, token="p0")
    server.thred, = answer["threds"]
    return server


def add(server, client, n):
    return client.send({"type": "spin.add", "thredId": server.thred, "data": {"content": {"values": {"n": n}}}})


def paused(server):
    _, stats = server.admin("GET", "/api/stats")
    return {p["id"]: p for p in stats["paused"]}


def metric(server, name):
    _, text = server.http("GET", "/metrics", port="engine_port")
    return [float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)]


def seen(server):
    return server.admin("GET", f"/api/threds/{server.thred}")[1]["locals"]["seen"]


def test_a_runaway_pauses_and_an_edit_resumes(spin):
    server = spin
    with server.connect("p0") as client, Neighbours(server, load(400)) as neighbours:
        for _ in range(3):
            client.send({"type": "spin.loop", "thredId": server.thred})
        until(lambda: paused(server).get("spin"), 10, "the pattern to be paused")
        for n in range(1, 6):
            add(server, client, n)
    assert neighbours.p99() < (1000 if load(400) == 400 else 5000), neighbours.p99()
    until(lambda: paused(server)["spin"]["waiting"] == 5, 10, "five to wait")
    _, dead = server.admin("GET", "/api/dead")
    line = 1 + SPIN[:SPIN.index("-- LOOP")].count("\n")
    for letter in dead["items"]:
        assert (letter["pattern"], letter["reaction"], letter["error"]["line"]) == ("spin", "work", line), letter
        assert "ms of CPU time, the limit is 50.0 ms" in letter["error"]["message"], letter
    assert len(dead["items"]) == 3
    # What an operator sees, and what to do next.
    assert "patterns resume spin" in server.wait_log(lambda l: "pattern paused" in l.get("msg", ""))["msg"]
    status, ready = server.http("GET", "/health/ready", port="engine_port")
    assert status == 200 and "pattern spin is paused" in ready["notes"][0] and "5 events wait" in ready["notes"][0]
    assert metric(server, "srvthreds_patterns_paused") == [1]
    assert metric(server, 'srvthreds_pattern_events_waiting{pattern="spin"}') == [5]
    assert metric(server, "srvthreds_script_budget_exceeded_total") == [3]
    listed = server.run("patterns", "list").stdout
    assert "went over their budget 3 times" in listed and "5 events wait" in listed, listed
    shown = server.run("patterns", "show", "spin").stdout
    assert "what to do" in shown and "OVER A LIMIT" in shown, shown
    assert "spin is paused" in server.run("doctor").stdout
    thred = server.run("threds", "show", server.thred).stdout
    assert "Scripts since the start" in thred and "paused: " in thred, thred
    used, = [s for s in server.admin("GET", "/api/stats")[1]["scripts"] if s.get("reaction") == "work"]
    assert used["exceeded"] == 3 and used["cpu_ms"] >= 150 and used["bytes"] > 0, used
    why, = [i for i in server.admin("GET", "/api/patterns")[1]["items"] if i["id"] == "spin"]
    assert why["status"] == "paused" and why["used"]["exceeded"] == 3
    # It is mended.
    server.file.write_text(SPIN.replace("while true do end", ""))
    until(lambda: not paused(server), 10, "it to go on")
    assert "what to do" not in server.run("patterns", "show", "spin").stdout
    until(lambda: seen(server) == "12345", 10, "all five, in order")
    assert metric(server, "srvthreds_patterns_paused") == [0]
    assert "spin is paused" not in server.run("doctor").stdout


def test_by_command_and_through_a_kill(spin):
    server = spin
    done = server.run("patterns", "pause", "spin", "--reason", "until Monday", "--yes")
    assert done.returncode == 0 and "patterns resume spin" in done.stderr, done
    with server.connect("p0") as client:
        first = add(server, client, 1)
        _, answer = server.http("POST", "/event?wait=200ms", {"type": "spin.begin", "id": "later"}, token="p1")
        assert answer["outcome"] == "pending"
    sent = server.run("send", "type=spin.begin", "--as", "p1", "--wait=200ms")
    assert sent.returncode == 4 and "waits for pattern spin, which is paused" in sent.stderr, sent
    shown = server.run("patterns", "show", "spin").stdout
    assert "mend" not in shown + server.run("doctor").stdout and "patterns resume spin" in shown, shown
    _, event = server.admin("GET", f"/api/events/{first}")
    assert "waits for pattern spin, which is paused" in event["why"], event
    server.kill()
    server.start(f"--patterns={server.file.parent}")
    p = paused(server)["spin"]
    assert (p["reason"], p["by"], p["waiting"]) == ("until Monday", "admin", 3)
    server.file.write_text(SPIN + "-- an edit\n")  # who paused it by hand resumes it by hand
    with server.connect("p0") as client:
        add(server, client, 2)
        server.wait_log(lambda l: l.get("msg") == "pattern reloaded" and l.get("pattern") == "spin")
        assert paused(server)["spin"]["state"] == "paused" and seen(server) == ""
        done = server.run("patterns", "resume", "spin", "--yes")
        assert done.returncode == 0 and "4 events waited" in done.stderr, done
        until(lambda: not paused(server), 10, "it to go on")
        add(server, client, 3)
        until(lambda: seen(server) == "123", 10, "all three")
    assert len(server.admin("GET", "/api/threds?pattern=spin")[1]["items"]) == 3
    assert "is not paused" in server.run("patterns", "resume", "spin", "--yes").stderr
    assert server.run("patterns", "resume", "nosuch", "--yes").returncode == 1


def test_a_pattern_that_asks_for_too_much(servers):
    server = servers("--scripts-cpu-max=40ms", profile="test")
    (server.folder / "patterns").mkdir()
    (server.folder / "patterns" / "spin.lua").write_text(SPIN)
    server.start()
    line = server.wait_log(lambda l: "limits.cpu" in l.get("msg", ""))["msg"]
    assert "SRV-P039" in line and 'at most "40ms"' in line and "scripts.cpu_max" in line, line
    checked = server.run("check", "patterns/spin.lua", env={"SRVTHREDS_SCRIPTS_CPU_MAX": "40ms"})
    assert checked.returncode == 3 and "SRV-P039" in checked.stdout + checked.stderr, checked


def pause_and_kill(server, rng):
    """Pauses, kills while it is paused, resumes, kills while it resumes."""
    for id in rng.sample(["counter", "timed"], rng.randint(1, 2)):
        assert server.admin("POST", f"/api/patterns/{id}/pause", {})[0] == 200
    time.sleep(rng.uniform(0.1, 0.4))
    waited = sum(p["waiting"] for p in paused(server).values())
    server.kill()
    server.start()
    time.sleep(rng.uniform(0, 0.2))
    for id in paused(server):
        server.admin("POST", f"/api/patterns/{id}/resume", {})
    time.sleep(rng.uniform(0, 0.05))
    server.kill()
    server.start()
    return waited


def test_kills_while_it_is_paused(tmp_path):
    """Nothing is lost, done twice or out of order, however the process ends while something waits."""
    rng, rounds = random.Random(SEED), load(10)
    server = Server(tmp_path, f"--profiles={PROFILES}", profile="exact").start()
    try:
        events = plan(begin(server, 20), load(3000), SEED)
        senders = [Sender(server, name, list_, seed=SEED, rate=len(list_) / (rounds * 0.8))
                   for name, list_ in events.items()]
        for sender in senders:
            sender.prepare()
        for sender in senders:
            sender.start()
        waited = [pause_and_kill(server, rng) for _ in range(rounds)]
        until(lambda: not any(s.is_alive() for s in senders), 120, "every event to be accepted")
        for id in paused(server):
            server.admin("POST", f"/api/patterns/{id}/resume", {})
        until(lambda: not paused(server), 60, "all to be resumed")
        settle(server)
        database = server.data / "srvthreds.db"
        until(lambda: not undelivered(database, senders), 20, "what stands in the inboxes to be delivered")
        for sender in senders:
            sender.stop = True
        assert server.stop() == 0
        wrong = report(database, senders, events)
        assert sum(n > 0 for n in waited) >= rounds * 0.6, f"what waited at the kills: {waited}"
        assert not wrong, f"seed {SEED}: {len(wrong)} differences:\n" + "\n".join(wrong[:20])
        replay(tmp_path, database)
        print(f"waiting when killed: {json.dumps(waited)}")
    finally:
        server.close()
