# SPDX-License-Identifier: MIT
"""The persistence agent on a real server: what it answers, and that kill -9 at any moment writes nothing twice."""
import os
import random
import shutil
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


def refused(client, *tasks):
    """The error of the persistence agent, which is told to those of the thred."""
    client.send(store(f"ask-{random.getrandbits(64)}", *tasks))
    event = client.wait(lambda event: (event["data"].get("content") or {}).get("error"), 10, "an error")
    return event["data"]["content"]["error"]


def script(name, **args):
    return task("run", values={"script": name, "args": args})


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


def stamps_and_made_ids(client):
    """What the data of the conformance suite can't say, because it isn't the same each time."""
    made, = answer(client, task("put", values={"v": 1}))
    one, = answer(client, task("getOne", matcher={"id": made}))
    assert one["created"] == one["modified"]
    for change in (task("update", matcher={"id": made}, values={"v": 2}),
                   task("upsert", matcher={"id": made}, values={"$inc": {"v": 1}}),
                   task("replace", matcher={"id": made}, values={"v": 4, "created": 0})):
        before, one = one, answer(client, change, task("getOne", matcher={"id": made}))[1]
        assert one["created"] == before["created"]
        assert one["modified"] > before["modified"]
    upserted, replaced = answer(client, task("upsert", matcher={"v": 9}, values={}),
                                task("replace", matcher={"v": 8}, values={}))
    assert len({made, upserted["id"], replaced["id"]}) == 3
    only = {"include": ["v"]}
    assert answer(client, task("get", matcher={"v": 9}, selector=only)) == [[{"id": upserted["id"], "v": 9}]]
    assert answer(client, task("count", matcher={"id": replaced["id"]})) == [1]


def test_stamps_and_made_ids(documents):
    with documents.start().connect("p0") as client:
        stamps_and_made_ids(client)


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


def over_kills(documents, waiting):
    """Sends them in parts, each cut off by a kill, and looks at what came of them."""
    total, chunk, rng = len(waiting), max(1, len(waiting) // KILLS), random.Random(SEED)
    documents.start()
    for _ in range(KILLS):
        left = write(documents, waiting[:chunk], rng.randrange(chunk))
        waiting = left + waiting[chunk:]
        documents.kill()
        documents.start()
    assert not write(documents, waiting, len(waiting))
    check(documents, total)


def test_nothing_is_written_twice_nor_lost(documents):
    over_kills(documents, events_of(load(600)))


def scripts_of(total):
    """The same by a script."""
    return [store(f"run-{n}", script("count", seq=n)) for n in range(total)]


def plain_scripts_of(total):
    """By a script that doesn't look whether it was done before."""
    return [store(f"plus-{n}", script("plus"), task("put", values={"seq": n})) for n in range(total)]


def test_scripts_write_once(documents):
    over_kills(documents, scripts_of(load(200)))


def test_a_script_and_its_mistakes(documents):
    server = documents.start()
    with server.connect("p0") as client:
        assert answer(client, [task("put", values={"id": "a"}), script("count", seq=1)], script("count", seq=2)) == [
            ["a", {"counted": 1}], {"counted": 2}]
        error = refused(client, [task("put", values={"id": "b"}), script("count", seq=3, fail=True)])
        assert error["code"] == 5200
        assert "scripts/count.lua:7: after all was written" in error["cause"]
        assert "tasks[0][1]" in error["cause"]
        error = refused(client, script("cuont"))
        assert error["code"] == 4200
        assert "did you mean count?" in error["message"]
        assert answer(client, task("count", matcher={})) == [4]  # a, 1, 2 and the counter


def test_a_changed_script_counts_at_once(servers, tmp_path):
    shutil.copytree(PROFILES / "documents", tmp_path / "documents")
    folder = tmp_path / "documents" / "scripts"
    server = servers(f"--profiles={tmp_path}", profile="documents").start()
    with server.connect("p0") as client:
        for text in ["one", "two"]:
            (folder / "say.lua").write_text(f"return function() return '{text}' end")
            server.wait_log(lambda line, text=text: line["msg"] == "script reloaded" and "say.lua" in line["file"])
            until(lambda text=text: answer(client, script("say")) == [text], 10, "the new script")
        (folder / "say.lua").write_text("return function(")
        server.wait_log(lambda line: "say.lua can't be used" in line["msg"])
        assert answer(client, script("say")) == ["two"]


def somebody_stays(first, second):
    """Each script reads what the others write, and none writes what another does. Perhaps by two programs."""
    people = [f"person {n}" for n in range(8)]
    with first.connect("p0") as one, second.connect("p1") as other:
        answer(one, task("put", values=[{"id": who} for who in people]))
        for _ in range(5):
            answer(one, task("update", matcher={}, values={"here": True}))
            for n, who in enumerate(people):
                (one, other)[n % 2].send(store(f"leave-{random.getrandbits(64)}", script("leave", who=who)))
            left = [(one, other)[n % 2].wait_title("stored", timeout=20)["data"]["content"]["values"]["result"][0]
                    for n in range(len(people))]
            assert sorted(left) == list(range(len(people)))
            assert answer(one, task("count", matcher={"here": True})) == [1]


def test_scripts_come_one_after_another(documents):
    documents.start()
    somebody_stays(documents, documents)


IN_DEBUG_BUILDS = pytest.mark.skipif("SRVTHREDS_FAULTS" not in os.environ,
                                     reason="kill points are in debug builds only")
KILL_POINTS = pytest.mark.parametrize("point, made", [
    ("docdb_before_commit:3", events_of), ("docdb_after_commit:3", events_of), ("docdb_in_run:7", scripts_of),
    ("docdb_before_commit:3", scripts_of), ("docdb_after_commit:3", scripts_of),
    ("docdb_in_run:7", plain_scripts_of), ("docdb_after_commit:3", plain_scripts_of)])


def ends_at(documents, point, made):
    documents.start(env={"SRVTHREDS_FAIL": point})
    events = made(100)  # few batches else: the point is the third
    left = write(documents, events, len(events))
    until(lambda: not documents.running(), 20, f"the process to end at {point}")
    documents.wait_exit()
    documents.start()
    write(documents, left, len(left))
    check(documents, len(events))


@IN_DEBUG_BUILDS
@KILL_POINTS
def test_written_but_not_acknowledged(documents, point, made):
    ends_at(documents, point, made)
