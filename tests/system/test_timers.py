# SPDX-License-Identifier: MIT
"""Timers fire once, never early, at most a second late, or after a restart a second after the backlog; whatever kills
the process, and whatever its clock says when it starts again."""
import bisect
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness import SANITIZED, load, until
from load import Sender

PROFILES = Path(__file__).parent / "profiles"
AFTER = {"short": 4000, "long": 1_800_000}
HOUR = 3_600_000


class Starter(Sender):
    """Starts threds and notes what their timers told and when it came."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.fired = {}

    def take(self):
        now = time.time() * 1000
        new = super().take()
        for event in new:
            if event.get("data", {}).get("title") == "fired":
                self.fired.setdefault(event["thredId"], []).append((event["time"], now))
        return new

    def look(self):
        """To be called when its thread has ended."""
        if self.client.close_code:
            self.take()
            self.connect()
        self.take()


def starters(server, kind, total, names):
    each = range(total // len(names))
    events = {name: [{"id": f"{kind}-{name}-{k}", "type": f"test.{kind}", "time": 1} for k in each] for name in names}
    all_ = [Starter(server, name, list_, window=64) for name, list_ in events.items()]
    for starter in all_:
        starter.prepare()
    for starter in all_:
        starter.start()
    return all_


class Withheld:
    """What the machine withheld, and when."""

    def __init__(self, server):
        self.server, self.times, self.values = server, [], []
        self.note()

    def note(self):
        self.times.append(time.time() * 1000)
        self.values.append(self.server.withheld() * 1000)

    def between(self, begin, end):
        """ms"""
        last = min(bisect.bisect_left(self.times, end), len(self.times) - 1)
        return self.values[last] - self.values[max(bisect.bisect_right(self.times, begin) - 1, 0)]


def look_for(all_, seconds, withheld):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        withheld.note()
        for starter in all_:
            if not starter.is_alive():
                starter.look()
        time.sleep(0.005)


def waiting(server, kind):
    return len(server.admin("GET", f"/api/threds?pattern={kind}&reaction=wait&limit=1000")[1]["items"])


def check(server, all_, kind, total):
    """Each thred's timer fired once, and for its due time. The server is down."""
    fired = {thred: list_ for s in all_ for thred, list_ in s.fired.items()}
    assert len(fired) == total, f"{len(fired)} of {total} fired"
    twice = [t for t, list_ in fired.items() if len(list_) > 1]
    assert not twice, f"told twice: {twice[:5]}"
    with closing(sqlite3.connect(server.data / "srvthreds.db")) as db:
        rows = list(db.execute("select t.id, t.step, r.text, t.started, json_extract(t.state, '$.locals.fired') "
                               "from thred t join word r on r.n=t.reaction join word p on p.n=t.pattern "
                               "where p.text=?", (kind,)))
        assert len(rows) == total
        for thred, step, reaction, started, count in rows:
            assert (step, reaction, count) == (2, "over", 1), (thred, step, reaction, count)
            assert fired[thred][0][0] == started + AFTER[kind], (thred, fired[thred], started)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    return [came - due for (due, came), in fired.values()]


def test_with_kills(servers):
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    names = [f"p{i}" for i in range(8)]
    total = load(10000) // 8 * 8
    all_, withheld = starters(server, "short", total, names), Withheld(server)
    downs = []  # from, until: ms
    for pause in (1, 1.5, 2):
        look_for(all_, pause, withheld)
        down = time.time() * 1000
        server.kill()
        time.sleep(0.3)
        server.start()
        downs.append((down, time.time() * 1000))
    until(lambda: not any(s.is_alive() for s in all_), 60, "all to be accepted")

    def done():
        withheld.note()
        for s in all_:
            s.look()
        return sum(len(s.fired) for s in all_) >= total
    until(done, 30, "all timers to fire")
    withheld.note()
    assert server.stop() == 0
    late = check(server, all_, "short", total)
    # Late by the clock of a process that was up: a timer due in a pause, or just before it, counts from the restart.
    kept = []
    for s in all_:
        for (due, came), in s.fired.values():
            up = max([due] + [start for down, start in downs if down - 1000 < due < start])
            kept.append(came - up - withheld.between(up, came))
    print(f"{total} timers, {len(downs)} kills: late by at most {max(kept):.0f} ms beside what the machine withheld, "
          f"median {sorted(late)[total // 2]:.0f} ms")
    assert min(late) >= 0, f"{-min(late):.0f} ms early"
    assert max(kept) <= (5000 if SANITIZED else 1000), f"{max(kept):.0f} ms late"


@pytest.mark.skipif(not os.environ.get("SRVTHREDS_FAULTS"), reason="a skewed clock is for debug builds")
def test_moved_clock(servers):
    """Started an hour behind, it waits; an hour ahead, what is due fires at once; each once, for its own due time."""
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    all_ = starters(server, "long", 200, ["p0", "p1"])
    until(lambda: not any(s.is_alive() for s in all_), 60, "all to be accepted")
    until(lambda: waiting(server, "long") == 200, what="all to wait")
    server.kill()
    for skew in (-HOUR, 0):
        server.start(env={"SRVTHREDS_FAULT_SKEW_MS": str(skew)})
        time.sleep(0.5)  # nothing may come: there is nothing to poll for
        assert waiting(server, "long") == 200
        server.kill()
    server.start(env={"SRVTHREDS_FAULT_SKEW_MS": str(HOUR)})
    begin, withheld = time.monotonic(), server.withheld()
    until(lambda: waiting(server, "long") == 0, 5, "all to fire")
    assert time.monotonic() - begin < (5 if SANITIZED else 1) + server.withheld() - withheld

    def done():
        for s in all_:
            s.look()
        return sum(len(s.fired) for s in all_) >= 200
    until(done, what="all to be told")
    server.kill()
    server.start(env={"SRVTHREDS_FAULT_SKEW_MS": str(-HOUR)})  # back again: none fires twice
    time.sleep(0.3)
    for s in all_:
        s.look()
    assert server.stop() == 0
    check(server, all_, "long", 200)


def test_accepted_before_the_deadline(servers):
    """Accepted in time and processed after the deadline, in another process: the old reaction takes it."""
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    _, answer = server.http("POST", "/event?wait=5s", {"type": "test.late"}, token="p0")
    thred, = answer["threds"]
    with server.connect("p0") as client:
        client.write({"event": {"type": "test.slow", "thredId": thred}})
        client.send({"id": "in-time", "type": "test.in_time", "thredId": thred})
        server.kill()
    with closing(sqlite3.connect(server.data / "srvthreds.db")) as db:
        (due, reaction), = db.execute("select t.due, r.text from thred t join word r on r.n=t.reaction "
                                      "where t.id=?", (thred,))
        (outcome, at), = db.execute("select outcome, at from event where json_extract(body, '$.id')='in-time'")
    assert reaction == "wait" and outcome is None and at < due, "it was processed before the kill"
    until(lambda: time.time() * 1000 > due + 100, what="the deadline")
    server.start()

    def moved():
        _, found = server.admin("GET", f"/api/threds/{thred}")
        return found if found["reaction"] != "wait" else None
    found = until(moved, 20, "the thred to move")
    assert found["reaction"] == "done", found
