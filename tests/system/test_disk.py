# SPDX-License-Identifier: MIT
"""A disk that is full, and one that refuses to sync: nothing is acknowledged that isn't kept, the state says so, and
with room again work goes on by itself."""
import http.client
import json
import os
import re
import resource
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness import until

PROFILES = Path(__file__).parent / "profiles"


class Sender(threading.Thread):
    """One event after another over HTTP, each until it is accepted; notes what was acknowledged."""

    def __init__(self, server, name, pad):
        super().__init__(daemon=True)
        self.server, self.name_, self.pad = server, name, pad
        self.acknowledged, self.refused, self.stop = set(), 0, False
        _, answer = server.http("POST", "/event?wait=10s", {"type": "test.begin"}, token=name)
        self.thred, = answer["threds"]

    def run(self):
        k = 0
        while not self.stop:
            event = {"id": f"{self.name_}-{k}", "type": "test.add", "thredId": self.thred, "time": 1,
                     "data": {"content": {"values": {"seq": k, "pad": "x" * self.pad}}}}
            try:
                status, _ = self.server.http("POST", "/event", event, token=self.name_, timeout=5)
            except OSError:
                status = 0
            if status == 200:
                self.acknowledged.add(event["id"])
                k += 1
            else:
                self.refused += 1
                time.sleep(0.05)


def count(server, senders):
    """What differs between what was acknowledged and what is stored."""
    wrong = []
    with closing(sqlite3.connect(server.data / "srvthreds.db")) as db:
        wrong += [f"integrity: {row}" for (row,) in db.execute("pragma integrity_check") if row != "ok"]
        rows = [(json.loads(body), outcome) for body, outcome in db.execute("select body, outcome from event")]
        stored = {e["id"]: outcome for e, outcome in rows if e["type"] == "test.add"}
        for sender in senders:
            mine = {i for i in stored if i.startswith(sender.name_ + "-")}
            wrong += [f"acknowledged and lost: {i}" for i in sorted(sender.acknowledged - mine)[:5]]
            wrong += [f"without an outcome: {i}" for i in sorted(mine) if stored[i] is None][:5]
            (state,), = db.execute("select state from thred where id=?", (sender.thred,))
            counted = json.loads(state)["locals"]["count"]
            if counted != len(mine):
                wrong.append(f"{sender.name_}: {counted} counted, {len(mine)} stored")
        if db.execute("select count(*) from queue").fetchone()[0]:
            wrong.append("the queue is not empty")
    return wrong


def not_ready(server):
    status, body = server.http("GET", "/health/ready", port="engine_port")
    return body["reason"] if status == 503 else None


def post(server, event, token):
    connection = http.client.HTTPConnection("127.0.0.1", server.ready["session_http_port"], timeout=10)
    connection.request("POST", "/event", json.dumps(event), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body, answer.getheader("Retry-After")


def fills_and_heals(server, senders, room, why):
    """The senders run until the disk is full, as the state says; `room()` makes room again."""
    for sender in senders:
        sender.start()
    until(lambda: any(s.refused for s in senders), 30, "the disk to be full")
    begin = time.monotonic()
    reason = until(lambda: not_ready(server), 3, "ready to turn false")
    late = time.monotonic() - begin
    assert "store" in reason and "can't be written" in reason and why in reason, reason
    assert server.http("GET", "/health/live", port="engine_port")[0] == 200
    before = {s.name_: len(s.acknowledged) for s in senders}
    refused = sum(s.refused for s in senders)
    until(lambda: sum(s.refused for s in senders) > refused + 5, 10, "more to be refused")
    assert {s.name_: len(s.acknowledged) for s in senders} == before, "acknowledged while the disk was full"
    status, answer, again = post(server, {"type": "test.add"}, "p0")
    assert status == 503 and answer["error"]["code"] == 5000 and again == "1", answer
    room()
    begin = time.monotonic()
    until(lambda: not not_ready(server), 5, "ready again")
    until(lambda: all(len(s.acknowledged) > before[s.name_] + 20 for s in senders), 20, "work to go on")
    print(f"not ready {late * 1000:.0f} ms after the first refusal, "
          f"work again {time.monotonic() - begin:.1f} s after room; "
          f"{sum(before.values())} acknowledged before, {sum(s.refused for s in senders)} refused")
    for sender in senders:
        sender.stop = True
    for sender in senders:
        sender.join(10)


def run(server, room, why):
    senders = [Sender(server, name, 2000) for name in ("p0", "p1", "p2", "p3")]
    fills_and_heals(server, senders, room, why)
    assert server.stop() == 0
    assert not count(server, senders)


def mounted(folder):
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode == 0


def test_small_file_system(servers):
    server = servers(f"--profiles={PROFILES}", profile="poison")
    server.data.mkdir()
    if os.geteuid() != 0 or not mounted(server.data):
        pytest.skip("a small file system can't be mounted here; test_file_size_limit shows the same")
    try:
        server.start()
        run(server, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(server.data)], check=True), "full")
    finally:
        try:
            server.close()
        finally:
            subprocess.run(["umount", str(server.data)], check=True)


def test_file_size_limit(servers):
    server = servers(f"--profiles={PROFILES}", profile="poison").start()
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    run(server, lambda: resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits), "disk I/O error")


@pytest.mark.skipif(not os.environ.get("SRVTHREDS_FAULTS"), reason="a sync fails in debug builds only")
def test_failing_sync(servers):
    """It stops with a clear message and never tries again; what was acknowledged is there after the next start."""
    server = servers(f"--profiles={PROFILES}", profile="poison").start()
    server.stop()
    server.start(env={"SRVTHREDS_FAULT_FSYNC": "60"})
    senders = [Sender(server, name, 100) for name in ("p0", "p1", "p2", "p3")]
    for sender in senders:
        sender.start()
    until(lambda: not server.running(), 30, "it to stop")
    assert server.wait_exit() == 74
    assert re.search(r"the disk refused to sync .*srvthreds\.db", server.log_text()), server.log_text()[-500:]
    for sender in senders:
        sender.stop = True
    for sender in senders:
        sender.join(10)
    assert any(s.acknowledged for s in senders)
    server.start()
    until(lambda: server.admin("GET", "/api/stats")[1]["store"]["counts"]["pending"] == 0, what="the backlog")
    assert server.stop() == 0
    assert not count(server, senders)


