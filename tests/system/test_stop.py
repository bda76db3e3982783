# SPDX-License-Identifier: MIT
"""SIGTERM under load, again and again: it ends in time with 0, clients are told by 1012, HTTP answers that were in work
come, and in the end everything is counted."""
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from harness import load, until
from load import Sender, begin, plan, report, undelivered
from test_kill import settle

PROFILES = Path(__file__).parent / "profiles"
SEED = int(os.environ.get("SRVTHREDS_SEED", "1"))


class Told(Sender):
    """Notes how each of its connections ended."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.codes = Counter()

    def connect(self):
        if self.client:
            until(lambda: self.client.close_code, what="the close code")
            self.codes[self.client.close_code] += 1
        return super().connect()


def term(server):
    """Returns how long it took."""
    at = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait_exit(10) == 0
    return time.monotonic() - at


def test_under_load(servers):
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    times, rng, took = load(100), random.Random(SEED), []
    events = plan(begin(server, 20), 20 * times, SEED)
    # As many as the stops last: each sender has something under way at each of them.
    senders = [Told(server, name, list_, seed=SEED, rate=len(list_) / (times * 0.2)) for name, list_ in events.items()]
    for sender in senders:
        sender.prepare()
    for sender in senders:
        sender.start()
    for _ in range(times):
        time.sleep(rng.uniform(0.01, 0.1))
        took.append(term(server))
        server.start()
    until(lambda: not any(s.is_alive() for s in senders), 120, "every event to be accepted")
    settle(server)
    for sender in senders:
        if sender.client.close_code:
            sender.connect()
    database = server.data / "srvthreds.db"
    until(lambda: not undelivered(database, senders), 20, "what stands in the inboxes to be delivered")
    for sender in senders:
        sender.stop = True
    took.append(term(server))
    took.sort()
    wrong = report(database, senders, events)
    codes = sum((s.codes for s in senders), Counter())
    print(f"{times} stops: median {took[len(took) // 2] * 1000:.0f} ms, longest {took[-1] * 1000:.0f} ms; "
          f"close codes {dict(codes)}")
    assert not wrong, f"seed {SEED}: {len(wrong)} differences:\n" + "\n".join(wrong[:20])
    assert took[-1] < 5
    assert set(codes) == {1012} and codes[1012] >= times, codes


def test_answers_in_work_come(servers):
    """A request whose event is still processed when the signal comes is answered in full."""
    server = servers(f"--profiles={PROFILES}", profile="poison").start()
    for _ in range(load(10)):
        _, answer = server.http("POST", "/event?wait=5s", {"type": "bad.begin"}, token="p0")
        thred, = answer["threds"]
        got = {}

        def ask(event_id, got=got, thred=thred):
            event = {"id": event_id, "type": "bad.loop", "thredId": thred}
            got[event_id] = server.http("POST", "/event?wait=5s", event, token="p0")

        asking = [threading.Thread(target=ask, args=(f"{thred}-{i}",)) for i in range(2)]
        for thread in asking:
            thread.start()
        until(lambda: server.admin("GET", "/api/stats")[1]["store"]["counts"]["pending"] == 2, 5, "both to be accepted")
        assert term(server) < 5
        for thread in asking:
            thread.join(10)
        assert [(status, body["outcome"]) for status, body in got.values()] == [(200, "error")] * 2, got
        server.start()
