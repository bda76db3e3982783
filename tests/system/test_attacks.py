# SPDX-License-Identifier: MIT
"""Each attack of tests/spec/attacks.lua on a real server, among neighbours: its sender and the operator learn what it
exceeded, where and by how much; everybody else is served meanwhile; the process stays as it was."""
import re
import statistics
import time

import pytest

from attacked import OPTIONS, P99_MS, begin_thred, control, start
from harness import SANITIZED, load, until
from neighbours import Neighbours

SLOWER = 20 if SANITIZED else 1
CPU_MS = 50  # of the pattern

@pytest.fixture
def attacked(servers):
    return start(servers(*OPTIONS, profile="poison"))


def check(attack, error):
    what = f"{attack['name']}: {error}"
    assert "the script was ended: " in error["message"], what
    assert re.search(r"attacked\.lua:\d+: ", error["message"]), what
    assert re.search(r"\d+(\.\d+)? (ms|bytes|more bytes|calls|steps)|more than \d+", error["message"]), what
    assert any(one in error["message"] for one in [*attack["says"], "CPU time"]), what


def attack(server, client, number):
    """Sends one and checks what its sender learns. How long that took, in ms."""
    begin = time.monotonic()
    sent = client.send({"type": f"attack.{number}", "thredId": server.thred})
    told = client.wait(lambda event: event.get("re") == sent)
    check(server.attacks[number], told["data"]["content"]["error"])
    return (time.monotonic() - begin) * 1000


def allowed(quiet, loops):
    """Where others have the processors too, everything takes longer: as a loop that has CPU_MS does."""
    return quiet + P99_MS * max(1, statistics.median(loops) / (CPU_MS + 10))


def test_attacks_among_neighbours(attacked):
    server = attacked
    _, before = server.admin("GET", f"/api/threds/{server.thred}")
    quiet = control(server, load(800))
    with server.connect("p0") as client, Neighbours(server, load(2000)) as neighbours:
        took = [attack(server, client, number) for number in range(len(server.attacks))]
    loops = [ms for ms, one in zip(took, server.attacks, strict=True) if one["kinds"] == "cpu"]
    quiet = max(quiet, control(server, load(800)))
    _, dead = server.admin("GET", "/api/dead?limit=1000")
    assert len(dead["items"]) == len(server.attacks)
    for letter in dead["items"]:
        assert (letter["pattern"], letter["reaction"]) == ("attacked", "attacked"), letter
        assert letter["error"]["file"].endswith("attacked.lua") and letter["error"]["line"] > 6, letter
        assert letter["error"]["kind"] in ("cpu", "memory", "stack", "wall"), letter
    _, after = server.admin("GET", f"/api/threds/{server.thred}")
    for same in ("reaction", "status", "locals", "step"):
        assert after.get(same) == before.get(same), (before, after)
    print(f"{len(took)} attacks, told after {max(took):.0f} ms at most; neighbours' p99 {neighbours.p99():.1f} ms, "
          f"without attacks {quiet:.1f} ms, allowed {allowed(quiet, loops):.1f} ms")
    assert neighbours.p99() < allowed(quiet, loops) * SLOWER


def test_many_runaways_at_once(attacked):
    """They share each turn of the loop with those who ask for little: none of these waits until most are done."""
    server, many = attacked, load(60)
    loop = next(i for i, one in enumerate(server.attacks) if one["name"] == "loop")
    threds = [begin_thred(server, name) for name in ("p0", "p1", "p2") for _ in range(many // 3 + 1)]
    with server.connect("p0") as client, Neighbours(server, load(2000)) as neighbours:
        begin = time.monotonic()
        for thred in threds:
            client.write({"event": {"type": f"attack.{loop}", "thredId": thred}})
        until(lambda: len(client.events) == len(threds), 60 * SLOWER, "all of them to be ended")
        end = time.monotonic()
    assert all("the script was ended: " in event["data"]["content"]["error"]["message"] for event in client.events)
    latencies = sorted(neighbours.during(begin, end))
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"{len(threds)} runaways at once for {(end - begin) * 1000:.0f} ms; neighbours' p99 {p99:.1f} ms")
    assert p99 < (end - begin) * 1000 * 0.4 or SANITIZED
