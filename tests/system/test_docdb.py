# SPDX-License-Identifier: MIT
"""The persistence agent on a real server: what it answers, and that kill -9 at any moment writes nothing twice."""
import os
import random
from pathlib import Path

import pytest

from harness import load, until

PROFILES = Path(__file__).parent / "profiles"
SEED, KILLS = int(os.environ.get("SRVTHREDS_SEED", "1")), 5


def task(op, **params):
    return {"op": op, "params": {"type": "things", **params}}


def store(event_id, *tasks):
    return {"id": event_id, "type": "test.store", "data": {"content": {"values": {"tasks": list(tasks)}}}}


def answer(client, *tasks):
    client.send(store(f"ask-{random.getrandbits(64)}", *tasks))
    return client.wait_title("stored")["data"]["content"]["values"]["result"]


@pytest.fixture
def documents(servers):
    return servers(f"--profiles={PROFILES}", profile="documents")


def test_documents_survive_a_restart(documents):
    server = documents.start()
    with server.connect("p0") as client:
        assert answer(client, task("put", values={"id": "a", "n": 1}), task("count", matcher={})) == ["a", 1]
    server.kill()
    server.start()
    with server.connect("p0") as client:
        one, = answer(client, task("getOne", matcher={"id": "a"}))
    assert (one["id"], one["n"]) == ("a", 1)


def write(server, events, enough):
    """Sends them all and returns once `enough` are accepted; gives those of which that isn't known."""
    with server.connect("p0") as client:
        for event in events:
            client.write({"event": event})
        until(lambda: len(client.accepted) >= enough or client.close_code, 20, "accepted")
        return [event for event in events if event["id"] not in client.accepted]


def check(server, total):
    """Every document is there once, and the counter counts them."""
    def idle():
        counts = server.admin("GET", "/api/stats")[1]["store"]["counts"]
        return counts["queue"] == 0 and counts["pending"] == 0
    until(idle, 30, "the queue to be empty")
    with server.connect("p1") as client:
        things, counter = answer(
            client, task("get", matcher={"id": {"$ne": "counter"}}, selector={"include": ["seq"]}),
            task("getOne", matcher={"id": "counter"}))
    assert sorted(thing["seq"] for thing in things) == list(range(total))
    assert counter["n"] == total


def events_of(total):
    """Each puts a document of its own and counts; the second is no harm only if it is done once."""
    count = task("upsert", matcher={"id": "counter"}, values={"$inc": {"n": 1}})
    return [store(f"store-{n}", task("put", values={"seq": n}), count) for n in range(total)]


def test_nothing_is_written_twice_nor_lost(documents):
    total, rng = load(600), random.Random(SEED)
    waiting, chunk = events_of(total), max(1, load(600) // KILLS)
    documents.start()
    for _ in range(KILLS):
        left = write(documents, waiting[:chunk], rng.randrange(chunk))
        waiting = left + waiting[chunk:]
        documents.kill()
        documents.start()
    assert not write(documents, waiting, len(waiting))
    check(documents, total)


@pytest.mark.skipif("SRVTHREDS_FAULTS" not in os.environ, reason="kill points are in debug builds only")
@pytest.mark.parametrize("point", ["docdb_before_commit:3", "docdb_after_commit:3"])
def test_written_but_not_acknowledged(documents, point):
    documents.start(env={"SRVTHREDS_FAIL": point})
    events = events_of(100)  # few batches else: the point is the third
    left = write(documents, events, len(events))
    until(lambda: not documents.running(), 20, f"the process to end at {point}")
    documents.wait_exit()
    documents.start()
    write(documents, left, len(left))
    check(documents, len(events))
