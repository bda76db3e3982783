# SPDX-License-Identifier: MIT
"""More than it can do: it accepts more slowly, its memory stays bounded, and nothing that it accepted is lost."""
import asyncio
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from harness import LOOP, SANITIZED, until

PROFILES = Path(__file__).parent / "profiles"
CAP_MB = 1000 if SANITIZED else 120  # idle it has about 15; a sanitizer keeps what was freed
SECONDS = 2


def rss_mb(server):
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


async def flood(client, name, thred):
    """Writes as fast as the server reads; returns how many."""
    end, n = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        await client.socket.send(json.dumps({"event": {
            "id": f"{name}-{n}", "type": "heavy.add", "thredId": thred, "time": 1,
            "data": {"content": {"values": {"pad": "x" * 2000}}}}}))
        n += 1
        if n % 16 == 0:
            await asyncio.sleep(0)
    return n


def begin(server, names):
    """A thred for each, whose events take their time."""
    threds = {}
    for name in names:
        _, answer = server.http("POST", "/event?wait=10s", {"type": "heavy.begin"}, token=name)
        threds[name], = answer["threds"]
    return threds


def test_more_than_it_can_do(servers):
    server = servers(f"--profiles={PROFILES}", profile="poison").start()
    names, highest = ["p0", "p1", "p2", "p3"], 0
    threds = begin(server, names)
    clients = {name: server.connect(name) for name in names}
    floods = [asyncio.run_coroutine_threadsafe(flood(clients[n], n, threds[n]), LOOP.loop) for n in names]
    posted = 0
    while not all(f.done() for f in floods):
        highest = max(highest, rss_mb(server))
        event = {"id": f"posted-{posted}", "type": "heavy.add", "thredId": threds["p0"]}
        assert server.http("POST", "/event", event, token="p1")[0] == 200, "it waits for its turn"
        posted += 1
        assert server.http("GET", "/health/live", port="engine_port")[0] == 200
        time.sleep(0.02)
    sent, accepted = sum(f.result() for f in floods), sum(len(c.accepted) for c in clients.values())

    def counted():
        return sum(server.admin("GET", f"/api/threds/{t}?limit=1")[1]["locals"]["count"] for t in threds.values())
    in_time, oldest = counted(), server.metric("srvthreds_queue_oldest_age_seconds")
    until(lambda: sum(len(c.accepted) for c in clients.values()) == sent, 120, "all that was sent to be accepted")
    def pending():
        return server.admin("GET", "/api/stats")[1]["store"]["counts"]["pending"]
    until(lambda: pending() == 0, 120, "all that was accepted to be processed")
    assert counted() == sent + posted
    highest = max(highest, rss_mb(server))
    assert oldest > 0 == server.metric("srvthreds_queue_oldest_age_seconds")
    assert not any(c.errors or c.close_code for c in clients.values())
    for client in clients.values():
        client.close()
    assert server.stop() == 0
    with closing(sqlite3.connect(server.data / "srvthreds.db")) as db:
        stored, open_ = db.execute("select count(*), count(*) - count(outcome) from event "
                                   "where json_extract(body, '$.type')='heavy.add'").fetchone()
    sent += posted
    print(f"{sent} sent in {SECONDS} s, {accepted} accepted and {in_time} processed in that time; "
          f"RSS at most {highest:.0f} MB")
    assert (stored, open_) == (sent, 0)
    assert in_time < sent / 2
    assert accepted < sent / 2, "it accepts as fast as it works, not as fast as it is sent to"
    assert highest < CAP_MB


def test_what_waits_is_bounded(servers):
    """Many who send a hundred events each: what is accepted and not processed stays below what the queue keeps."""
    server = servers(f"--profiles={PROFILES}", profile="poison").start()
    names = ["p0", "p1", "p2", "p3"]
    threds = begin(server, names)
    clients = {f"{name}-{k}": server.connect(name) for name in names for k in range(16)}

    async def hundred(sender):
        for n in range(100):
            await clients[sender].socket.send(json.dumps({"event": {
                "id": f"{sender}-{n}", "type": "heavy.add", "thredId": threds[sender[:2]]}}))
    for sender in clients:
        asyncio.run_coroutine_threadsafe(hundred(sender), LOOP.loop)

    with closing(sqlite3.connect(f"file:{server.data}/srvthreds.db?mode=ro", uri=True)) as db:
        def waiting():  # from the file: asked for it, a busy server answers when it has caught up
            return db.execute("select count(*) from event where source>0 and outcome is null").fetchone()[0]
        most, end = 0, time.monotonic() + 120
        while sum(len(c.accepted) for c in clients.values()) < 6400:
            most = max(most, waiting())
            assert time.monotonic() < end, "not all was accepted"
            time.sleep(0.05)
        until(lambda: waiting() == 0, 120, "all that was accepted to be processed")
    print(f"{most} of 6400 waited at once")
    assert most < 4000
    assert most > 50
    for client in clients.values():
        client.close()
