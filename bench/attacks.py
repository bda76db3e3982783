# SPDX-License-Identifier: MIT
"""Neighbours' p99 during each attack of tests/spec/attacks.lua, one after another for two seconds each, and without
any, before and after: the same minute, the same load (400 events a second of four clients)."""
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

from attacked import OPTIONS, P99_MS, control, start
from harness import Server
from neighbours import Neighbours
from support.server import say

SECONDS, RATE = 2, 400


def p99_during(server, client, number):
    with Neighbours(server, SECONDS * RATE, rate=RATE) as neighbours:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            sent = client.send({"type": f"attack.{number}", "thredId": server.thred})
            client.wait(lambda event, sent=sent: event.get("re") == sent)
    return neighbours.p99()


def main():
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, *OPTIONS, profile="poison")
        server.can_replay = False
        try:
            start(server)
            quiet, found = [control(server, SECONDS * RATE) for _ in range(3)], {}
            with server.connect("p0") as client:
                for number, attack in enumerate(server.attacks):
                    found[attack["name"]] = p99_during(server, client, number)
            quiet += [control(server, SECONDS * RATE) for _ in range(2)]
        finally:
            server.close()
    say("neighbours' p99 without attacks", "ms", quiet, less=True)
    worst = max(found, key=found.get)
    say("neighbours' p99 during each attack", "ms", sorted(found.values()), less=True, passes=P99_MS,
        notes=f"{len(found)} attacks; worst {worst!r} {found[worst]:.1f} ms")
    for name, p99 in found.items():
        say(f"neighbours' p99: {name}", "ms", [p99], less=True)


if __name__ == "__main__":
    main()
