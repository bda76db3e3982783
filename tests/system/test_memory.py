# SPDX-License-Identifier: MIT
"""The memory of the process has a limit: near it less is accepted, and nothing that was accepted is lost."""
import asyncio
import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from harness import LOOP, load, until
from test_bounds import rss_mb

PROFILES = Path(__file__).parent / "profiles"
FULL = load(10) == 10
LIMIT_MB, QUEUE_MB = 80, 1
SECONDS, PAD, SESSIONS, WINDOW = 3, 8000, 3, 40


class Going:
    """How long the load goes on: SECONDS, or on a slow machine until the limit has been felt."""

    def __init__(self):
        self.begin, self.felt = time.monotonic(), False

    def __bool__(self):
        return time.monotonic() - self.begin < (SECONDS if self.felt else 10 * SECONDS)


async def flood(client, name, thred, type_, going):
    """Events as fast as the server accepts them, up to WINDOW under way."""
    n = 0
    while going:
        if n - len(client.accepted) >= WINDOW:
            await asyncio.sleep(0.002)
            continue
        await client.socket.send(json.dumps({"event": {
            "id": f"{name}-{n}", "type": type_, "thredId": thred, "time": 1,
            "data": {"content": {"values": {"times": 10, "pad": "x" * PAD}}}}}))
        n += 1
    return n


class Posts(threading.Thread):
    """The same over HTTP; what is answered 503 is not sent again."""

    def __init__(self, server, name, thred, going):
        super().__init__(daemon=True)
        self.going = going
        self.server, self.name_, self.thred = server, name, thred
        self.accepted, self.refused, self.other = [], 0, []

    def run(self):
        n = 0
        while self.going:
            event = {"id": f"{self.name_}-{n}", "type": "heavy.add", "thredId": self.thred, "time": 1,
                     "data": {"content": {"values": {"times": 10, "pad": "x" * PAD}}}}
            status, answer = self.server.http("POST", "/event", event, token=self.name_, timeout=60)
            n += 1
            if status == 200:
                self.accepted.append(answer["id"])
            elif status == 503:
                self.refused += 1
            else:
                self.other.append(answer)


def outcomes(path):
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("select coalesce((select 'dead' from dead d where d.event=e.n), outcome), count(*) "
                          "from event e where source>0 and json_extract(body, '$.type') like 'heavy.%' group by 1")
        return dict(rows.fetchall())


def test_three_times_what_it_can_do(servers):
    server = servers(f"--profiles={PROFILES}", f"--memory-limit={LIMIT_MB}MiB", f"--memory-queue={QUEUE_MB}MiB",
                     profile="poison").start()
    ws, http, threds, highest, pressed = ["p0", "p1", "p2", "p3"], ["p4", "p5", "p6", "p7"], {}, 0, 0
    for name in ws + http:
        _, answer = server.http("POST", "/event?wait=10s", {"type": "heavy.begin"}, token=name)
        threds[name], = answer["threds"]
    clients = {f"{name}.{i}": server.connect(name, timeout=60) for name in ws for i in range(SESSIONS)}
    # One of the four sends what nobody wants, so that every outcome is counted.
    floods, going = [], Going()
    for n, client in clients.items():
        thred, type_ = (None, "heavy.nobody") if n[:2] == "p0" else (threds[n[:2]], "heavy.add")
        floods.append(asyncio.run_coroutine_threadsafe(flood(client, n, thred, type_, going), LOOP.loop))
    posts = [Posts(server, n, threds[n], going) for n in http]
    for post in posts:
        post.start()
    while not all(f.done() for f in floods) or any(p.is_alive() for p in posts):
        highest = max(highest, rss_mb(server))
        _, stats = server.admin("GET", "/api/stats")
        pressed += stats["memory"]["pressure"]
        going.felt = pressed > 0 and any(p.refused for p in posts)
        time.sleep(0.01)
    sent = sum(f.result() for f in floods)
    until(lambda: sum(len(c.accepted) for c in clients.values()) == sent, 120, "all that was sent to be accepted")
    accepted = sent + sum(len(p.accepted) for p in posts) + len(ws + http)  # and those that began the threds

    def idle():
        counts = server.admin("GET", "/api/stats")[1]["store"]["counts"]
        return counts["pending"] == 0 and counts["queue"] == 0
    until(idle, 120, "all that was accepted to be processed")
    highest = max(highest, rss_mb(server))
    # Afterwards it takes in again.
    until(lambda: server.http("POST", "/event", {"type": "heavy.begin"}, token="p0")[0] == 200, 10, "room")
    accepted += 1
    assert not any(c.errors or c.close_code for c in clients.values()) and not any(p.other for p in posts)
    for client in clients.values():
        client.close()
    assert server.stop() == 0
    found = outcomes(server.data / "srvthreds.db")
    print(f"{accepted} of {PAD // 1000} kB accepted, {sum(p.refused for p in posts)} answered 503; "
          f"under pressure at {pressed} looks; RSS at most {highest:.0f} of {LIMIT_MB} MiB; {found}")
    assert sum(found.values()) == accepted and None not in found and "dead" not in found, found
    assert pressed > 0 and sum(p.refused for p in posts) > 0
    assert highest < LIMIT_MB or not FULL
