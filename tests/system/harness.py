# SPDX-License-Identifier: MIT
"""Real processes for system tests: a server in a folder of its own on free ports, its clients, waiting by polling.

    def test_it(server):                   # the fixture of conftest.py: started, stopped and looked through afterwards
        with server.connect("participant0") as client:
            id = client.send({"type": "org.wt.echo", "data": {}})      # returns when it is accepted: durable
            event = client.wait(lambda event: event.get("re") == id)
        server.kill()                          # kill -9
        server.start()                         # the same data folder, the same ports
"""
import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from pathlib import Path

import websockets

PROGRAM = Path(os.environ.get("SRVTHREDS") or Path(__file__).parents[2] / "build" / "srvthreds").resolve()
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|: runtime error: ")
SANITIZED = "SRVTHREDS_SANITIZED" in os.environ  # the program is several times slower then, and larger
REPLAYED_MOST = 4 << 20  # bytes; larger ones where it is their point
PORTS = ("engine_port", "session_port", "session_http_port")


def load(full):
    """How much of a full load to send: SRVTHREDS_LOAD is a fraction (a tenth under sanitizers)."""
    return max(1, int(full * float(os.environ.get("SRVTHREDS_LOAD", "1"))))


def until(check, timeout=10, what="it"):
    """Polls until `check()` is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}; last seen: {value!r}")
        time.sleep(0.01)


def waited_for_cpu(pid, threads="*"):
    """Seconds for which threads of a process were ready to run and got no CPU. It only grows."""
    seconds = 0.0
    for file in Path(f"/proc/{pid}/task").glob(f"{threads}/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has ended
            seconds += int(file.read_text().split()[1]) / 1e9
    return seconds


def clean_environment(folder, more):
    """Nothing of the tester's own configuration; HOME is the test's folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SRVTHREDS", "XDG_"))}
    asan = "abort_on_error=0:exitcode=99:" + os.environ.get("ASAN_OPTIONS", "")
    return {**kept, "HOME": str(folder), "ASAN_OPTIONS": asan, "UBSAN_OPTIONS": "print_stacktrace=1", **more}


def replay(folder, database):
    """Runs every thred of a store again, from the file alone, to the byte. Returns how many steps it had to accept."""
    done = subprocess.run([str(PROGRAM.parent / "spec_runner"), "tests/system/replay_store.lua"], text=True,
                          timeout=600, cwd=Path(__file__).parents[2], capture_output=True,
                          env=clean_environment(folder, {"SRVTHREDS_STORE": str(database)}))
    assert done.returncode == 0, f"not the same when run again:\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
    counts = dict(re.findall(r"(\w+)=(\d+)", done.stdout))
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        threds, steps = db.execute("select count(*), coalesce(sum(step), 0) from "
                                   "(select step from thred union all select step from archive)").fetchone()
        events = db.execute("select count(*) from event where source=0 and thred>0").fetchone()[0]
    assert [int(counts[key]) for key in ("threds", "steps", "events")] == [threds, steps, events], done.stdout
    return int(counts["accepted"])


class Server:
    def __init__(self, folder, *arguments, profile="ef-detection", env=None):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.arguments = arguments
        self.profile = profile
        self.env = env or {}
        self.process = None
        self.waited_before = self.waited_at_signal = 0.0
        self.ready = {}
        self.expect_sanitizer = False
        self.can_replay = True  # whatever a test did, it can be run again from what is stored

    def start(self, *arguments, env=None, timeout=30, wait=True):
        """Starts it and returns when it is ready. A restart takes the same ports, so that who reconnects finds it."""
        assert self.process is None, "it runs already"
        ports = [f"--{key.replace('_', '-')}={self.ready.get(key, 0)}" for key in PORTS]
        command = [str(PROGRAM), "dev", self.profile, f"--data={self.data}", "--log-format=json", *ports]
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=clean_environment(self.folder, {**self.env, **(env or {})}))
        if wait:
            self.ready = until(lambda: self._ready_line(begin), timeout, "the ready line")
        return self

    def _ready_line(self, begin):
        status = self.process.poll()
        assert status is None, f"ended with {status} before it was ready; see its log"
        return next((line for line in self.log(begin) if line.get("msg") == "ready"), None)

    def log_text(self, begin=0):
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(begin)
            return log.read().decode("utf-8", "replace")

    def log(self, begin=0):
        """The log's JSON lines; what is not JSON is skipped, a line still being written too."""
        for line in self.log_text(begin).split("\n")[:-1]:
            if line.startswith("{"):
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def wait_log(self, check, timeout=10, what="a log line"):
        return until(lambda: next((line for line in self.log() if check(line)), None), timeout, what)

    def withheld(self):
        """Seconds for which the machine kept the server and the test from running. What took longer by no more than
        that says nothing of the program:

            begin, withheld = time.monotonic(), server.withheld()
            …
            assert time.monotonic() - begin < 1 + server.withheld() - withheld
        """
        mine = waited_for_cpu("self", threading.main_thread().native_id) + waited_for_cpu("self", LOOP.native_id)
        return self.waited_before + mine + (waited_for_cpu(self.process.pid) if self.process else 0)

    def signal(self, number):
        self.waited_at_signal = waited_for_cpu(self.process.pid)
        os.kill(self.process.pid, number)

    def wait_exit(self, timeout=10):
        self.waited_before += self.waited_at_signal
        status = self.process.wait(timeout)
        self.process, self.waited_at_signal = None, 0.0
        return status

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait_exit()

    def stop(self, timeout=10):
        """SIGTERM: it drains. Returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        """Ends it whatever its state, and complains of what a sanitizer wrote."""
        if self.process is not None:
            if self.running():
                self.process.kill()
            self.process.wait()
            self.process = None
        found = SANITIZER.search(self.log_text())
        assert self.expect_sanitizer or not found, f"a sanitizer complained: {self.log_text()[found.start():][:4000]}"
        database = self.data / "srvthreds.db"
        if self.can_replay and database.exists() and database.stat().st_size < REPLAYED_MOST:
            replay(self.folder, database)

    def http(self, method, path, body=None, token=None, port="session_http_port", headers=None, timeout=10):
        """(status, body): the body decoded if it is JSON. `body` is sent as JSON unless it is bytes."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.ready[port], timeout=timeout)
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in (answer.getheader("Content-Type") or "")
            return answer.status, json.loads(text) if is_json else text.decode("utf-8", "replace")
        finally:
            connection.close()

    def admin(self, method, path, body=None):
        return self.http(method, path, body, token="admin", port="engine_port")

    def metric(self, name):
        """The value of a metric without labels, or with them as they stand in the text; None if it isn't shown."""
        text = self.http("GET", "/metrics")[1]
        return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " ")), None)

    def connect(self, participant, last_seen=None, timeout=10):
        return Client(self.ready["session_port"], participant, last_seen, timeout)

    def run(self, *arguments, timeout=30, input=None, env=None):
        """A verb of the command line against this server: subprocess.CompletedProcess with text."""
        address = {"SRVTHREDS_" + key.upper(): str(self.ready[key]) for key in PORTS}
        return subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, timeout=timeout, input=input,
                              cwd=self.folder, env=clean_environment(
                                  self.folder, {"SRVTHREDS_DATA": str(self.data), **address, **(env or {})}))


class Loop(threading.Thread):
    """One asyncio loop for all clients of a test process: tests read from top to bottom, pings are answered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.loop = asyncio.new_event_loop()
        self.start()

    def run(self):
        self.loop.run_forever()

    def call(self, coroutine, timeout):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


LOOP = Loop()


class Refused(AssertionError):
    """An error frame answered what was sent: .code, .message."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')} {error.get('message')}")
        self.code, self.message = error.get("code"), error.get("message")


class Client:
    """A participant's session over the plain WebSocket: /ws, subprotocol srvthreds.v1."""

    def __init__(self, port, participant, last_seen=None, timeout=10):
        self.events, self.accepted, self.errors, self.hello = [], set(), [], None
        self.close_code = None
        self.taken = 0
        self.timeout = timeout
        first = {"token": participant}
        if last_seen is not None:
            first["lastSeen"] = last_seen
        self.socket = LOOP.call(self._open(port, first), timeout)
        until(lambda: self.hello or self.errors or self.close_code, timeout, "the hello frame")
        if not self.hello:
            self.close()
            raise Refused(self.errors[0] if self.errors else {"code": self.close_code, "message": "closed"})

    async def _open(self, port, first):
        socket = await websockets.connect(f"ws://127.0.0.1:{port}/ws", subprotocols=["srvthreds.v1"], max_size=None,
                                          ping_interval=None, compression=None)
        await socket.send(json.dumps(first))
        self.reader = asyncio.ensure_future(self._read(socket))
        return socket

    async def _read(self, socket):
        try:
            async for text in socket:
                self._frame(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        self.close_code = socket.close_code

    def _frame(self, frame):
        if "event" in frame:
            self.events.append(frame["event"])
        elif "accepted" in frame:
            self.accepted.add(frame["accepted"]["id"])
        elif "error" in frame:
            self.errors.append(frame["error"])
        elif "hello" in frame:
            self.hello = frame["hello"]
        else:
            self.errors.append({"code": 0, "message": f"a frame of no known kind: {frame}"})

    def write(self, frame):
        """Sends a frame (text, bytes, or a value as JSON) and waits for nothing."""
        text = frame if isinstance(frame, (str, bytes)) else json.dumps(frame)
        LOOP.call(self.socket.send(text), self.timeout)

    def send(self, event):
        """Sends an event and waits until it is accepted. Returns its id."""
        event = {"id": str(uuid.uuid4()), **event}
        self.write({"event": event})
        refused = lambda: next((e for e in self.errors if e.get("id") == event["id"]), None)  # noqa: E731
        until(lambda: event["id"] in self.accepted or refused() or self.close_code, self.timeout, "accepted")
        if event["id"] not in self.accepted:
            raise Refused(refused() or {"code": self.close_code, "message": "closed"})
        return event["id"]

    def values(self, values, thred_id=None, type="org.wt.client.tell", re=None):
        event = {"type": type, "data": {"content": {"values": values}}}
        event.update({key: value for key, value in (("thredId", thred_id), ("re", re)) if value is not None})
        return self.send(event)

    def wait(self, check=lambda event: True, timeout=None, what="an event"):
        """The next event that `check` accepts, behind those that were waited for; those before it are skipped."""
        def look():
            for at in range(self.taken, len(self.events)):
                if check(self.events[at]):
                    self.taken = at + 1
                    return self.events[at]
            return None
        return until(look, timeout or self.timeout, what)

    def wait_title(self, title, timeout=None):
        return self.wait(lambda event: event.get("data", {}).get("title") == title, timeout, f"the event \"{title}\"")

    def seen(self, event_id):
        self.write({"seen": event_id})

    def wait_closed(self, timeout=10):
        return until(lambda: self.close_code, timeout, "the server to close")

    def close(self):
        LOOP.call(self.socket.close(), self.timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
