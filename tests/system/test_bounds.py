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


QUEUE, PAD, SENDERS, EACH = 1 << 20, 4000, 16, 50
FIT = QUEUE // PAD
WAITING = "select count(*) from event where source>0 and outcome is null"


def heavy(sender, n, thred):
    return json.dumps({"event": {"id": f"{sender}-{n}", "type": "heavy.add", "thredId": thred,
                                 "data": {"content": {"values": {"times": 3, "pad": "x" * PAD}}}}})


def send_too_much(server):
    """More at once than the queue keeps. The clients, and a connection to the file: a busy server answers late."""
    names = ["p0", "p1", "p2", "p3"]
    threds = begin(server, names)
    clients = {f"{name}-{k}": server.connect(name) for name in names for k in range(SENDERS // len(names))}

    async def send_all(sender):
        for n in range(EACH):
            await clients[sender].socket.send(heavy(sender, n, threds[sender[:2]]))
    for sender in clients:
        asyncio.run_coroutine_threadsafe(send_all(sender), LOOP.loop)
    return threds, clients, sqlite3.connect(f"file:{server.data}/srvthreds.db?mode=ro", uri=True)


def test_what_waits_is_bounded(servers):
    """What is accepted and not processed comes up to what the queue keeps, and not above."""
    server = servers(f"--profiles={PROFILES}", f"--memory-queue={QUEUE}", profile="poison").start()
    _, clients, file = send_too_much(server)
    with closing(file) as db:
        most, end = 0, time.monotonic() + 120
        while sum(len(c.accepted) for c in clients.values()) < SENDERS * EACH:
            most = max(most, db.execute(WAITING).fetchone()[0])
            assert time.monotonic() < end, "not all was accepted"
            time.sleep(0.01)
        until(lambda: db.execute(WAITING).fetchone()[0] == 0, 120, "all that was accepted to be processed")
    print(f"{most} of {SENDERS * EACH} waited at once; {FIT} fit")
    assert FIT / 2 < most < FIT * 1.5
    for client in clients.values():
        client.close()


def test_killed_when_it_is_full(servers):
    """kill -9 at the bound: what was accepted is processed, once, when it has started again."""
    server = servers(f"--profiles={PROFILES}", f"--memory-queue={QUEUE}", profile="poison").start()
    threds, clients, file = send_too_much(server)
    with closing(file) as db:
        until(lambda: db.execute(WAITING).fetchone()[0] > FIT / 2, 60, "the queue to be full")
        server.kill()
        until(lambda: all(c.close_code for c in clients.values()), what="the clients to see it")
        accepted = {id for c in clients.values() for id in c.accepted}
        server.start()
        until(lambda: db.execute(WAITING).fetchone()[0] == 0, 120, "all that was accepted to be processed")
        rows = db.execute("select json_extract(body, '$.id'), outcome from event where "
                          "json_extract(body, '$.type')='heavy.add' and source>0").fetchall()
    stored = {id for id, _ in rows}
    print(f"{len(accepted)} accepted, {len(stored)} stored when it was killed")
    assert accepted and accepted <= stored and len(rows) == len(stored)
    counts = [server.admin("GET", f"/api/threds/{t}?limit=1")[1]["locals"]["count"] for t in threds.values()]
    assert sum(counts) == len(stored) < SENDERS * EACH
