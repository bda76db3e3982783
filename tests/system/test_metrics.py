# SPDX-License-Identifier: MIT
"""What /metrics says of steps, commits and timers agrees with what was sent and with what is on disk."""
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from harness import load, until

PROFILES = Path(__file__).parent / "profiles"
STEPS = "srvthreds_step_duration_seconds_count"


def shown(server):
    text = server.http("GET", "/metrics", port="engine_port")[1]
    return {name: float(value) for name, value in re.findall(r"^(srvthreds_\S+) (\S+)$", text, re.M)}


def steps_of(seen):
    return {name: int(value) for name, value in seen.items() if name.startswith(STEPS + "{") and value}


def on_disk(server, sql):
    with closing(sqlite3.connect(f"file:{server.data / 'srvthreds.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchone()[0]


def test_counts_agree(servers):
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    total = load(200)
    with server.connect("p0") as client:
        client.send({"type": "test.begin"})
        thred = client.wait_title("begun")["thredId"]
        for seq in range(1, total + 1):
            client.send({"type": "test.add", "thredId": thred, "data": {"content": {"values": {"seq": seq}}}})
        until(lambda: sum(e.get("data", {}).get("title") == "added" for e in client.events) == total)
    seen = shown(server)
    assert steps_of(seen) == {f'{STEPS}{{pattern="counter",reaction="begin"}}': 1,
                              f'{STEPS}{{pattern="counter",reaction="count"}}': total}
    assert sum(steps_of(seen).values()) == on_disk(server, "select sum(step) from thred")
    assert seen["srvthreds_lock_wait_seconds_count"] >= total + 1
    assert seen["srvthreds_commits_refused_total"] == 0
    assert seen["srvthreds_timers_pending"] == seen["srvthreds_timer_lag_seconds_count"] == 0
    # Each event was waited for: accepting it was a commit; whether its step shared one with the next is up to the disk.
    commits = 'srvthreds_store_commit_seconds_count{backend="sqlite"}'
    assert total < seen[commits] < 4 * total + 100
    assert 0 < seen['srvthreds_store_commit_seconds_sum{backend="sqlite"}'] < 60
    pattern_sum = seen['srvthreds_step_duration_seconds_sum{pattern="counter",reaction="count"}']
    assert 0 < pattern_sum < 10


def test_a_timer_that_fired_late_after_a_restart(servers):
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    with server.connect("p0") as client:
        client.send({"type": "test.short"})
        thred = until(lambda: server.admin("GET", "/api/threds?pattern=short&reaction=wait")[1]["items"])[0]
    until(lambda: shown(server)["srvthreds_timers_pending"] == 1)
    server.kill()
    until(lambda: time.time() * 1000 > thred["due"] + 1000)
    server.start()
    until(lambda: shown(server)["srvthreds_timer_lag_seconds_count"] == 1, what="the timer to fire")
    seen = shown(server)
    assert seen["srvthreds_timers_pending"] == 0
    assert 1 <= seen["srvthreds_timer_lag_seconds_sum"] < 30
    until(lambda: steps_of(shown(server)) == {f'{STEPS}{{pattern="short",reaction="wait"}}': 1}, what="its step")
