# SPDX-License-Identifier: MIT
"""Nothing is lost and nothing is done twice: a seeded load, kill -9 again and again, then everything is counted."""
import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness import Server, load, replay, until
from load import Sender, begin, plan, report, undelivered

PROFILES = Path(__file__).parent / "profiles"
SEED = int(os.environ.get("SRVTHREDS_SEED", "1"))


def settle(server):
    """Until the queue is empty, every event has its outcome, and no thred of the pattern Timed waits."""
    def idle():
        status, stats = server.admin("GET", "/api/stats")
        assert status == 200
        counts = stats["store"]["counts"]
        _, waiting = server.admin("GET", "/api/threds?pattern=timed&reaction=wait")
        return counts["queue"] == 0 and counts["pending"] == 0 and not waiting["items"]
    until(idle, 30, "the queue to be empty")


def catch_up(server):
    """What waits now comes to its end: an event that met the point at three starts in a row would be a dead letter, as
    what kills the process must be."""
    with closing(sqlite3.connect(f"file:{server.data}/srvthreds.db?mode=ro", uri=True)) as db:
        last, = db.execute("select max(n) from event").fetchone()

        def waiting():
            return db.execute("select (select count(*) from event where source>0 and outcome is null and n<=?1)"
                              " + (select count(*) from queue where n<=?1)", (last,)).fetchone()[0]
        until(lambda: not waiting(), 30, "the backlog")


def catch_up_all(server):
    """Also with what only comes of it: of an event a task for a service, of that the answer. Of a small load nothing
    would be left for the next point then."""
    for _ in range(3 if load(1000) == 1000 else 1):
        catch_up(server)


def free(server, senders, threds):
    """No lock is left: each source's next event is routed, and each thred takes one."""
    for at, thred in enumerate([None] * len(senders) + threds):
        event = {"id": f"last-{at}", "type": "test.nobody", **({"thredId": thred} if thred else {})}
        status, answer = server.http("POST", "/event?wait=10s", event, token=senders[at % len(senders)].name_)
        assert (status, answer["outcome"]) == (200, "not_matched" if thred else "no_pattern"), (event, answer)


def run(tmp_path, total, kills, seconds, pause=(0.05, 0.5)):
    """`kills` is a list of what each start gets as SRVTHREDS_FAIL, None = killed from outside after a random time; the
    load is spread over about `seconds`. Returns the file, the senders and their events, when all is counted."""
    rng = random.Random(SEED)
    server = Server(tmp_path, f"--profiles={PROFILES}", profile="exact")
    server.can_replay = False  # it is, before the end
    server.start()
    try:
        threds = begin(server, 20)
        events = plan(threds, total, SEED)
        senders = [Sender(server, name, list_, seed=SEED, rate=len(list_) / seconds) for name, list_ in events.items()]
        for sender in senders:
            sender.prepare()
        for sender in senders:
            sender.start()
        under_load = 0
        for point in kills:
            under_load += any(s.is_alive() for s in senders)
            if point is None:
                time.sleep(rng.uniform(*pause))
            server.kill()
            server.start(env={"SRVTHREDS_FAIL": point} if point else None, wait=point is None)
            if point:
                until(lambda: not server.running(), 30, f"the process to end at {point}")
                server.wait_exit()
                server.start()
                catch_up_all(server)
        if not server.running():
            server.start()
        until(lambda: not any(s.is_alive() for s in senders), 120, "every event to be accepted")
        settle(server)
        free(server, senders, threds)
        for sender in senders:
            if sender.client is None or sender.client.close_code:
                sender.connect()
        database = server.data / "srvthreds.db"
        until(lambda: not undelivered(database, senders), 20, "what stands in the inboxes to be delivered")
        for sender in senders:
            sender.stop = True
        assert server.stop() == 0
        wrong = report(database, senders, events)
        assert under_load >= len(kills) * 0.8, f"only {under_load} of {len(kills)} kills came while the load went on"
        assert not wrong, f"seed {SEED}: {len(wrong)} differences:\n" + "\n".join(wrong[:20])
        assert replay(tmp_path, database) == 0  # none was ended by a limit
        return database, senders, events
    finally:
        server.close()


def test_random_kills(tmp_path):
    kills = load(30)
    run(tmp_path, load(5000), [None] * kills, kills * 0.4)


EACH = ["after_consume", "after_lock_and_load", "after_lua", "after_each_publish"]
BATCH = ["before_commit", "mid_batch", "after_commit", "after_all_confirms", "before_ack", "after_ack"]


@pytest.mark.skipif(not os.environ.get("SRVTHREDS_FAULTS"), reason="the named points are compiled into debug builds")
@pytest.mark.parametrize("point", EACH + BATCH)
def test_named_points(tmp_path, point):
    rng = random.Random(f"{SEED}/{point}")
    most = load(40) + 2 if point in EACH else 8  # a slow program has few batches, with many events in each
    most = 2 if point == "after_each_publish" else most  # one message in many is for a service
    run(tmp_path, load(1000), [f"{point}:{rng.randint(1, most)}" for _ in range(4)], 4)


# What stands in the report, and what must make it stand there.
DAMAGE = [
    ("accepted from p1 and lost", "delete from event where json_extract(body, '$.id')='FIRST'"),
    ("stored of p1, who didn't", "update event set body=replace(body, '\"FIRST\"', '\"x\"') where source>0"),
    ("events stored twice", "insert into event(source, outcome, body) select source, outcome, body from event "
                            "where source>0 limit 1"),
    ("events without outcome", "update event set outcome=null where n=(select max(n) from event where source>0)"),
    ("dead letters", "insert into dead(event) values(1)"),
    ("queue rows", "insert into queue(event) values(1)"),
    ("count of", "update thred set state=replace(state, '\"count\":', '\"count\":1') where n=1"),
    ("answers of", "update thred set state=replace(state, '\"answers\":', '\"answers\":1')"),
    ("out of order", "update thred set state=replace(state, '\"inversions\":0', '\"inversions\":1')"),
    ("threds begun", "delete from thred where n=(select max(n) from thred where instr(state, '\"count\"'))"),
    ("timers that wait", "update thred set due=1 where n=1"),
    ("spawned threds", "delete from thred where n=(select max(n) from thred where not instr(state, '\"count\"'))"),
    ("expired once", "update thred set step=step+1"),
    ("without holes", "delete from inbox where k=(select max(k)-1 from inbox)"),
    ("twice", "update inbox set event=(select event from inbox i where i.who=inbox.who and i.k=inbox.k-1) "
              "where k=(select max(k) from inbox)"),
    ("committed for p1 and not delivered", "insert into inbox(who, k, event) select n, 100000, "
     "(select min(n) from event where source=0) from participant where id='p1'"),
    ("emitted twice", "insert into event(source, body) select source, body from event where source=0 limit 1"),
    ("integrity_check", "update sqlite_schema set sql=replace(sql, 'thred(h)', 'thred(step)') where name='thred_h'"),
]


def test_each_count_can_differ(tmp_path):
    """The counting finds nothing in a sound file, and each damage done to a copy of it."""
    database, senders, events = run(tmp_path, 400, [], 0.5)
    assert not report(database, senders, events)
    copy, missed = tmp_path / "damaged.db", []
    for word, damage in DAMAGE:
        shutil.copy(database, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.execute("pragma writable_schema=on")
            assert db.execute(damage.replace("FIRST", events["p1"][0]["id"])).rowcount > 0, word
        found = report(copy, senders, events)
        if not any(word in line for line in found):
            missed.append((word, found))
    assert not missed, missed
    one = senders[0]
    del one.received[next(i for i in one.received if i != one.begun)]
    one.received["never"] = 2
    assert {line.split(":")[0] for line in report(database, senders, events)} == {
        "committed for p0 and not delivered", "delivered to p0 but not committed", "delivered to p0 twice"}
