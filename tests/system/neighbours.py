# SPDX-License-Identifier: MIT
"""Neighbours: participants whose events must go through whatever happens beside them, and how long each took."""
import threading
import time
import uuid
from collections import deque

from harness import Client, until


class Timed(Client):
    """Notes when the answer to each event came."""

    def __init__(self, *arguments):
        self.answered = {}
        super().__init__(*arguments)

    def _frame(self, frame):
        if "event" in frame and "re" in frame["event"]:
            self.answered[frame["event"]["re"]] = time.monotonic()
        super()._frame(frame)


class Neighbour(threading.Thread):
    """Sends `count` events to a thred of its own, `rate` a second, at most `window` under way."""

    def __init__(self, server, name, count, rate=100, window=8):
        super().__init__(daemon=True)
        self.client = Timed(server.ready["session_port"], name)
        self.name_, self.count, self.rate, self.window = name, count, rate, window
        _, answer = server.http("POST", "/event?wait=10s", {"type": "test.begin"}, token=name)
        self.thred = next(t for t in answer["threds"])
        self.sent = {}
        self.run_id = uuid.uuid4().hex[:8]
        self.problem = None

    def run(self):
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001  shown by finish()
            self.problem = error

    def _send_all(self):
        under_way, begin = deque(), time.monotonic()
        for k in range(self.count):
            time.sleep(max(0, begin + k / self.rate - time.monotonic()))
            while under_way and (len(under_way) >= self.window or under_way[0] in self.client.answered):
                until(lambda: under_way[0] in self.client.answered, 30, f"the answer to {under_way[0]}")
                under_way.popleft()
            event = {"id": f"{self.name_}-{self.run_id}-{k}", "type": "test.add", "thredId": self.thred}
            self.sent[event["id"]] = time.monotonic()
            self.client.write({"event": event})
            under_way.append(event["id"])
        until(lambda: len(self.client.answered) >= self.count, 30, "all answers")

    def latencies(self):
        return [self.client.answered[i] - at for i, at in self.sent.items()]


class Neighbours:
    """with Neighbours(server, 1000) as neighbours: … ; at the end each event was answered once and counted."""

    def __init__(self, server, total, names=("p4", "p5", "p6", "p7"), rate=400):
        self.server = server
        self.all = [Neighbour(server, name, total // len(names), rate / len(names)) for name in names]

    def __enter__(self):
        for n in self.all:
            n.start()
        return self

    def going(self):
        return any(n.is_alive() for n in self.all)

    def __exit__(self, kind, *_):
        for n in self.all:
            n.join(60)
        if kind:
            return
        problems = [f"{n.name_}: {n.problem}" for n in self.all if n.problem]
        assert not problems, problems
        for n in self.all:
            _, thred = self.server.admin("GET", f"/api/threds/{n.thred}")
            assert thred["locals"]["count"] == n.count, thred
            assert not n.client.errors, n.client.errors[:3]
            n.client.close()

    def during(self, begin, end):
        """The latencies in ms of what was sent between two times of time.monotonic()."""
        return [(n.client.answered[i] - at) * 1000 for n in self.all for i, at in n.sent.items()
                if begin <= at < end and i in n.client.answered]

    def p99(self):
        """The slowest but one in a hundred, in ms."""
        all_ = sorted(t for n in self.all for t in n.latencies())
        return all_[int(len(all_) * 0.99)] * 1000 if all_ else 0
