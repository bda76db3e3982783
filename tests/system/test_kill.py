# SPDX-License-Identifier: MIT
"""Nothing is lost and nothing is done twice: a seeded load, kill -9 again and again, then everything is counted."""
import os
import random
import time
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


def run(tmp_path, total, kills, seconds, pause=(0.05, 0.5)):
    """`kills` is a list of what each start gets as SRVTHREDS_FAIL, None = killed from outside after a random time; the
    load is spread over about `seconds`."""
    rng = random.Random(SEED)
    server = Server(tmp_path, f"--profiles={PROFILES}", profile="exact")
    server.can_replay = False  # it is, before the end
    server.start()
    try:
        events = plan(begin(server, 20), total, SEED)
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
        if not server.running():
            server.start()
        until(lambda: not any(s.is_alive() for s in senders), 120, "every event to be accepted")
        settle(server)
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
