# SPDX-License-Identifier: MIT
"""A seeded load over the WebSocket that goes on through kills, and the count of what came of it.

Every event keeps its id until it is accepted; 30 % of the accepted ones are sent again. What the server may have done
with an event that was never accepted is not known, so it is sent until it is.
"""
import json
import random
import sqlite3
import threading
import time
from collections import Counter

from harness import Client, Refused

SOURCES = 8


class Sender(threading.Thread):
    """One participant: sends its events in order, several under way at a time, over as many connections as it takes."""

    def __init__(self, server, name, events, window=16, seed=0, rate=1e9):
        super().__init__(daemon=True)
        self.rate = rate  # events a second while it is connected, so that the load outlasts the kills on any machine
        self.server, self.name_, self.events, self.window = server, name, events, window
        self.random = random.Random(f"{seed}/{name}")
        self.accepted, self.received, self.refused = set(), {}, []
        self.stop = False
        self.begun = None
        self.last_seen = None
        self.client = None

    def connect(self):
        while not self.stop:
            try:
                self.client = Client(self.server.ready["session_port"], self.name_, self.last_seen, timeout=5)
                return True
            except (OSError, AssertionError, TimeoutError, Exception):  # noqa: B014  the server is away: again
                time.sleep(0.02)
        return False

    def prepare(self):
        """Its first connection, and the event after which everything must come."""
        assert self.connect()
        self.client.send({"id": f"anchor-{self.name_}", "type": "test.begin"})
        self.begun = self.client.wait_title("begun")["id"]
        self.last_seen = self.begun

    def take(self):
        """What has come since the last call, which is returned; the last one is where the next connection goes on."""
        new = self.client.events[self.client.taken:]
        self.client.taken += len(new)
        for event in new:
            self.received[event["id"]] = self.received.get(event["id"], 0) + 1
            self.last_seen = event["id"]
        self.accepted |= self.client.accepted
        self.refused += self.client.errors
        self.client.errors.clear()
        return new

    def run(self):
        waiting, at, connected, last = [], 0, 0, time.monotonic()
        while not self.stop and (at < len(self.events) or waiting):
            if self.client is None or self.client.close_code:
                if self.client:
                    self.take()
                if not self.connect():
                    return
                # In the order they were first sent: those under way come before anything new.
                waiting = [e for e in waiting if e["id"] not in self.accepted]
                self.write(waiting)
                last = time.monotonic()
            self.take()
            waiting = [e for e in waiting if e["id"] not in self.accepted]
            now = time.monotonic()
            connected, last = connected + now - last, now
            due = min(at + self.window - len(waiting), int(connected * self.rate))
            new = self.events[at:due]
            at += len(new)
            waiting += new
            self.write(new + [e for e in new if self.random.random() < 0.3])
            if not new:
                time.sleep(0.002)

    def write(self, events):
        try:
            for event in events:
                self.client.write({"event": event})
        except Exception:  # noqa: BLE001  closed under our hands: seen at the next turn
            pass


def begin(server, count):
    """Starts `count` threds; returns their ids."""
    ids = []
    for i in range(count):
        event = {"id": f"begin-{i}", "type": "test.begin"}
        status, answer = server.http("POST", "/event?wait=10s", event, token="p0")
        assert status == 200 and answer["outcome"] in ("matched", "duplicate"), answer
        ids += answer["threds"]
    return ids


def plan(threds, total, seed):
    """The events of each source: mostly adds; some spawns, some questions to a service, some that nobody wants."""
    rng = random.Random(seed)
    events = {f"p{i}": [] for i in range(SOURCES)}
    for k in range(total):
        source = f"p{rng.randrange(SOURCES)}"
        thred = rng.choice(threds)
        kind = rng.choices(["test.add", "test.spawn", "test.ask", "test.nobody", "unbound"], [80, 5, 5, 5, 5])[0]
        event = {"id": f"{source}-{k}", "type": kind, "thredId": thred, "time": 1,
                 "data": {"content": {"values": {"seq": k + 1}}}}
        if kind == "unbound":
            del event["thredId"]
            event["type"] = "test.begin"
        events[source].append(event)
    return events


def boxes_of(db):
    """participant -> [(k, event id)]"""
    names = dict(db.execute("select n, id from participant"))
    boxes = {}
    for who, k, body in db.execute("select i.who, i.k, e.body from inbox i join event e on e.n=i.event"
                                   " order by i.who, i.k"):
        boxes.setdefault(names[who], []).append((k, json.loads(body)["id"]))
    return boxes


def undelivered(path, senders):
    """How much of the inboxes has not come, while the server runs."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    boxes = boxes_of(db)
    db.close()
    missing = 0
    for sender in senders:
        sender.take()
        order = [i for _, i in boxes.get(sender.name_, [])]
        missing += len(set(order[order.index(sender.begun) + 1:]) - set(sender.received))
    return missing


def report(path, senders, events):
    """Compares the file with what was accepted and delivered. Returns a list of differences."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    wrong = []

    def one(sql, *args):
        return db.execute(sql, args).fetchone()[0]

    def differ(what, a, b):
        if a != b:
            wrong.append(f"{what}: {a} != {b}")

    differ("integrity_check", one("pragma integrity_check"), "ok")
    differ("queue rows", one("select count(*) from queue"), 0)
    differ("events without outcome", one("select count(*) from event where source>0 and outcome is null"), 0)
    differ("dead letters", db.execute("select target, attempts, error from dead").fetchall(), [])
    ids = Counter()
    for (body,) in db.execute("select body from event where source>0"):
        event = json.loads(body)
        ids[event["source"]["id"], event["id"]] += 1
    differ("events stored twice", [key for key, n in ids.items() if n > 1], [])
    sent = {(name, e["id"]): e for name, list_ in events.items() for e in list_}
    for sender in senders:
        mine = {i for name, i in ids if name == sender.name_}
        known = {e["id"] for e in sender.events}
        differ(f"accepted from {sender.name_} and lost", sender.accepted - mine, set())
        differ(f"stored of {sender.name_}, who didn't send it",
               {i for i in mine - known if not i.startswith(("anchor-", "begin-", "last-"))}, set())
        differ(f"not accepted from {sender.name_}", len({e["id"] for e in sender.events} - sender.accepted), 0)
        differ(f"refused to {sender.name_}", sender.refused[:3], [])
    # Counters in the threds' locals against the distinct events.
    want, asked, spawned = Counter(), Counter(), 0
    for e in sent.values():
        if e["type"] == "test.add":
            want[e["thredId"]] += 1
        elif e["type"] == "test.ask":
            asked[e["thredId"]] += 1
        spawned += e["type"] == "test.spawn"
    inversions, begun = 0, 0
    for thred, state in db.execute("select id, state from thred"):
        local = json.loads(state)["locals"]
        if "count" not in local:
            continue
        begun += 1
        differ(f"count of {thred}", local["count"], want[thred])
        differ(f"answers of {thred}", local["answers"], asked[thred])
        inversions += local["inversions"]
    differ("events of one source out of order", inversions, 0)
    differ("threds begun", begun,
           one("select count(*) from event where source>0 and json_extract(body, '$.type')='test.begin'"))
    differ("timers that wait", one("select count(*) from thred where due is not null"), 0)
    timed = list(db.execute("select t.id, t.step, w.text from thred t join word w on w.n=t.reaction "
                            "join word p on p.n=t.pattern where p.text='timed'"))
    differ("spawned threds", len(timed), spawned)
    differ("spawned threds that expired once", Counter((step, reaction) for _, step, reaction in timed),
           Counter({(2, "over"): spawned}) if spawned else Counter())
    # What stands in an inbox, and what its participant got. A participant reads on where it had been.
    boxes = boxes_of(db)
    for sender in senders:
        box = boxes.get(sender.name_, [])
        differ(f"inbox numbers of {sender.name_} without holes", [k for k, _ in box], list(range(1, len(box) + 1)))
        known = {i for _, i in box}
        differ(f"in the inbox of {sender.name_} twice", len(box) - len(known), 0)
        differ(f"delivered to {sender.name_} but not committed", len(set(sender.received) - known), 0)
        order = [i for _, i in box]
        first = order.index(sender.begun) + 1
        differ(f"committed for {sender.name_} and not delivered", len(set(order[first:]) - set(sender.received)), 0)
        differ(f"delivered to {sender.name_} twice", [i for i, n in sender.received.items() if n > 1], [])
    emitted = one("select count(*) from event where source=0")
    ids = {json.loads(body)["id"] for (body,) in db.execute("select body from event where source=0")}
    differ("events emitted twice", emitted - len(ids), 0)
    db.close()
    return wrong


__all__ = ["Sender", "begin", "plan", "report", "Refused"]
