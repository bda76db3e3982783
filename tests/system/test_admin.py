# SPDX-License-Identifier: MIT
"""The admin API of a running system: looking, acting, the live feed; who may not."""
import http.client
import json
import socket
import threading
import time

import pytest

from harness import LOOP, load, until

import websockets


@pytest.fixture
def system(servers):
    server = servers(profile="test")
    patterns = server.folder / "patterns"
    patterns.mkdir()
    (patterns / "fails.lua").write_text("""local p = require "srvthreds.pattern"
return p.pattern "Fails" {
  p.reaction "one" { p.where { type = "fail" } { on_true = function() error "on purpose" end } },
}""")
    return server.start()


def get(server, path):
    status, body = server.admin("GET", path)
    assert status == 200, body
    return body


def start_thred(client):
    client.send({"type": "echo"})
    return client.wait_title("echo 1")["thredId"]


@pytest.mark.parametrize("method, path", [
    ("GET", "/api/threds"), ("GET", "/api/threds/x"), ("POST", "/api/threds/x/transition"),
    ("POST", "/api/threds/x/terminate"), ("GET", "/api/patterns"), ("GET", "/api/patterns/echo"),
    ("POST", "/api/patterns/echo/disable"), ("GET", "/api/events/x"), ("GET", "/api/dead"),
    ("POST", "/api/dead/1/retry"), ("DELETE", "/api/dead/1"), ("GET", "/api/stats"), ("GET", "/api/live"),
    ("GET", "/api/log"), ("POST", "/api/log"),
])
def test_only_administrators_may(system, method, path):
    assert system.http(method, path, port="engine_port")[0] == 401
    assert system.http(method, path, token="nonsense", port="engine_port")[0] == 401
    status, body = system.http(method, path, token="p0", port="engine_port")
    assert status == 403 and body["error"]["code"] == 4101


def test_the_token_file_opens_it(system):
    token = system.data / "admin.token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert system.http("GET", "/api/stats", token=token.read_text().strip(), port="engine_port")[0] == 200


def test_threds_are_shown_moved_and_ended(system):
    with system.connect("p0") as client:
        id = start_thred(client)
        assert [item["id"] for item in get(system, "/api/threds?pattern=echo&status=active")["items"]] == [id]
        shown = get(system, f"/api/threds/{id}")
        assert shown["locals"] == {"n": 1} and shown["reaction"] == "again" and shown["participants"] == ["p0"]
        assert [e["direction"] for e in shown["events"]] == ["in", "out"]
        assert [(l["outcome"], l["to"]) for l in shown["log"]] == [("matched", "again")]
        status, body = system.admin("POST", f"/api/threds/{id}/transition", {"to": "agian"})
        assert status == 400 and "did you mean again?" in body["error"]["message"]
        assert system.admin("POST", f"/api/threds/{id}/transition", {"to": "begin"})[0] == 200
        until(lambda: get(system, f"/api/threds/{id}")["reaction"] == "begin")
        assert system.admin("POST", f"/api/threds/{id}/terminate")[0] == 200
        until(lambda: get(system, f"/api/threds/{id}")["status"] == "terminated")
        assert get(system, "/api/threds?status=terminated")["items"][0]["id"] == id
    system.kill()
    system.start()
    assert get(system, f"/api/threds/{id}")["status"] == "terminated"


def test_pages(system):
    with system.connect("p0") as client:
        ids = [start_thred(client) for _ in range(7)]
    seen, after = [], ""
    while after is not None:
        page = get(system, f"/api/threds?limit=3{after}")
        seen += [item["id"] for item in page["items"]]
        after = f"&after={page['after']}" if page.get("after") else None
    assert seen == ids


def test_events_and_dead_letters(system):
    with system.connect("p0") as client:
        lost = client.send({"type": "nobody.wants.this"})
        odd = client.send({"id": "an odd/id", "type": "echo"})
        bad = client.send({"type": "fail"})
        until(lambda: get(system, "/api/dead")["items"])
        client.wait(lambda e: e.get("re") == bad)
    assert get(system, f"/api/events/{lost}")["why"] == "no pattern's first reaction matches it"
    until(lambda: get(system, "/api/events/an%20odd%2Fid").get("outcome") == "matched")
    assert odd == "an odd/id"
    dead = get(system, "/api/dead")["items"][0]
    assert dead["event"]["id"] == bad and dead["pattern"] == "fails" and "on purpose" in dead["error"]["message"]
    assert "fails.lua:3" in dead["error"]["message"]
    (system.folder / "patterns" / "fails.lua").write_text("""local p = require "srvthreds.pattern"
return p.pattern "Fails" {
  p.reaction "one" { p.where { type = "fail" } { on_true = function(event, thred) thred.ok = true end } },
  p.reaction "two" { p.where { type = "end" } {} },
}""")
    system.wait_log(lambda l: l["msg"] == "pattern reloaded")
    assert system.admin("POST", f"/api/dead/{dead['id']}/retry")[0] == 200
    until(lambda: get(system, "/api/threds?pattern=fails")["items"])
    assert get(system, "/api/dead")["items"] == []


def test_stats(system):
    with system.connect("p0") as client:
        start_thred(client)
        stats = get(system, "/api/stats")
    assert stats["processed"]["outcomes"]["matched"] >= 1 and stats["store"]["counts"]["active"] == 1
    assert stats["memory"]["rss_bytes"] > 1 << 20 and "p0" in stats["sessions"]


def test_live_feed_over_websocket(system):
    frames = []

    async def follow():
        address = f"ws://127.0.0.1:{system.ready['engine_port']}/api/live"
        async with websockets.connect(address, compression=None) as socket:
            await socket.send(json.dumps({"token": "admin"}))
            async for text in socket:
                frames.append(json.loads(text))

    task = LOOP.loop.create_task
    box = []
    LOOP.loop.call_soon_threadsafe(lambda: box.append(task(follow())))
    until(lambda: any("hello" in frame for frame in frames))
    with system.connect("p0") as client:
        id = start_thred(client)
    steps = until(lambda: [s for frame in frames for s in frame.get("steps", []) if s.get("thred") == id])
    assert steps[0]["pattern"] == "echo" and (steps[0]["reaction"], steps[0]["to"]) == ("begin", "again")
    assert "data" not in json.dumps(steps), "no payloads"
    assert get(system, "/api/stats")["watchers"] == 1
    LOOP.loop.call_soon_threadsafe(box[0].cancel)
    until(lambda: get(system, "/api/stats")["watchers"] == 0, what="the feed to stop when its watcher goes")


class Events(threading.Thread):
    """A client of Server-Sent Events: reads, line by line, what it is sent until the connection ends."""

    def __init__(self, server, last=None, query="", reads=True):
        super().__init__(daemon=True)
        self.events, self.comments, self.retry, self.last, self.whole = [], 0, None, last, None
        self.connection = http.client.HTTPConnection("127.0.0.1", server.ready["engine_port"], timeout=60)
        headers = {"Authorization": "Bearer admin", **({"Last-Event-ID": last} if last else {})}
        self.connection.connect()
        if not reads:
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        self.connection.request("GET", "/api/live" + query, headers=headers)
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200 and self.answer.getheader("Content-Type") == "text/event-stream"
        if reads:
            self.start()

    def run(self):
        fields, rest = {}, b""
        try:
            while bytes := self.answer.read1(65536):
                *lines, rest = (rest + bytes).split(b"\n")
                for line in lines:
                    fields = self._line(line.decode(), fields)
            self.whole = True
        except (http.client.HTTPException, OSError, ValueError):
            self.whole = False

    def _line(self, text, fields):
        name, _, value = text.partition(": ")
        if text.startswith(":"):
            self.comments += 1
        elif text:
            fields[name] = value
        elif fields:
            self._take(fields)
            return {}
        return fields

    def _take(self, fields):
        self.retry = int(fields.get("retry", self.retry or 0))
        self.last = fields.get("id", self.last)
        if "data" in fields:
            self.events.append((fields["event"], json.loads(fields["data"])))

    def of(self, kind):
        return [data for name, data in list(self.events) if name == kind]

    def threds(self):
        return [step["thred"] for step in self.of("step")]

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self.connection.close()


def test_live_feed_over_server_sent_events(system):
    feed = Events(system)
    assert until(lambda: feed.of("hello"))[0]["id"] == "admin" and feed.retry == 1000
    with system.connect("p0") as client:
        first = start_thred(client)
        until(lambda: feed.threds() == [first])
        step = feed.of("step")[0]
        assert step["pattern"] == "echo" and (step["reaction"], step["to"]) == ("begin", "again")
        second = start_thred(client)
        until(lambda: feed.threds() == [first, second])
        feed.close()
        third = start_thred(client)  # nobody is there
        again = Events(system, feed.last)
        until(lambda: again.threds() == [third])
        one = Events(system, query=f"?thred={first}")
        client.send({"type": "stop", "thredId": first})
        until(lambda: one.threds() == [first] and again.threds() == [third, first])
        assert get(system, "/api/stats")["watchers"] == 2
        system.kill()
        until(lambda: again.whole is False and one.whole is False)
    system.start()
    back = Events(system, again.last)
    with system.connect("p0") as client:
        assert "restarted" in until(lambda: back.of("gap"))[0]["reason"]
        fourth = start_thred(client)
        until(lambda: back.threds() == [fourth])
        assert system.stop() == 0
        until(lambda: back.whole, what="the stream to be ended as it should be")


def test_live_feed_has_a_slow_reader(system):
    """More than the sockets hold, and it reads nothing: others get all meanwhile, and so does it when it reads."""
    count, pad = load(300), "x" * 30000
    quick, slow = Events(system), Events(system, reads=False)

    def counted(feed):
        return len(feed.of("step")) + sum(data["dropped"] for data in feed.of("dropped"))

    with system.connect("p0") as client:
        for n in range(count):
            client.write({"event": {"id": f"{n}{pad}", "type": "nobody.wants.this"}})
            until(lambda: counted(quick) > n - 15)  # no faster than the feed tells
        until(lambda: counted(quick) == count)
    assert [step["id"].rstrip("x") for step in quick.of("step")] == [str(n) for n in range(count)]
    slow.start()
    until(lambda: counted(slow) == count)
    assert slow.of("step") == quick.of("step")


def test_command_line(system):
    with system.connect("p0") as client:
        id = start_thred(client)
        client.send({"type": "fail"})
        until(lambda: get(system, "/api/dead")["items"])

        def items(*words):
            done = system.run(*words, "-o", "json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        assert [thred["id"] for thred in items("threds", "list")] == [id]
        assert items("threds", "show", id)["reaction"] == "again"
        assert {pattern["id"] for pattern in items("patterns", "list")} == {"echo", "fails"}
        assert items("patterns", "show", "echo")["versions"][0]["threds"] == 1
        dead = items("dead", "list")[0]["id"]
        assert system.run("dead", "drop", str(dead), "--yes").returncode == 0
        assert system.run("dead", "show", str(dead)).returncode != 0
        assert system.run("patterns", "disable", "echo", "--yes").returncode == 0
        event = client.send({"type": "echo"})
        until(lambda: get(system, f"/api/events/{event}").get("outcome") == "no_pattern")
        assert system.run("patterns", "enable", "echo", "--yes").returncode == 0
        assert start_thred(client) != id
        assert system.run("threds", "terminate", id, "--yes").returncode == 0
        until(lambda: get(system, f"/api/threds/{id}")["status"] == "terminated")


def refused_control_frame(server):
    """A ping longer than a control frame may be: libwebsockets says so in its log."""
    with socket.create_connection(("127.0.0.1", server.ready["session_port"]), 10) as peer:
        peer.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     b"Sec-WebSocket-Protocol: srvthreds.v1\r\n\r\n")
        assert b" 101 " in peer.recv(4096)
        peer.sendall(b"\x89\xfe\x00\x01")
        while peer.recv(4096):
            pass


def test_log_levels_and_what_libwebsockets_says(system):
    def lines(level):
        return [line for line in system.log() if line.get("module") == "websocket" and line["level"] == level]

    def set_level(level):
        return system.admin("POST", "/api/log", {"level": level})

    refused_control_frame(system)
    until(lambda: lines("warn"))
    assert "Control frame" in lines("warn")[0]["msg"] and not lines("debug")
    assert set_level("websocket=error") == (200, {"level": "info,websocket=error"})
    refused_control_frame(system)
    status, body = set_level("warn,websocket=loud")
    assert status == 400 and "loud" in body["error"]["message"]
    assert get(system, "/api/log") == {"level": "info,websocket=error"}
    assert set_level("warn,websocket=warn") == (200, {"level": "warn,websocket=warn"})
    refused_control_frame(system)
    until(lambda: len(lines("warn")) == 2)
    assert all(line.startswith("{") for line in system.log_text().splitlines()), "nothing past the log"
    assert set_level("info") == (200, {"level": "info"})
    system.wait_log(lambda line: line["msg"] == "log level set")


def test_metrics_and_health(system):
    with system.connect("p0") as client:
        thred = start_thred(client)
        start_thred(client)
        status, text = system.http("GET", "/metrics", port="engine_port")
        assert status == 200
        for line in ('srvthreds_events_processed_total{outcome="matched"} 2', "srvthreds_dead_letters 0",
                     'srvthreds_events_received_total{type="echo"} 2', "srvthreds_session_send_queue_bytes 0",
                     "srvthreds_queue_oldest_age_seconds 0",
                     "srvthreds_sessions 1", 'srvthreds_threds{pattern="echo",reaction="again"} 2',
                     'srvthreds_pattern_info{pattern="fails",version="'):
            assert line in text
        client.send({"type": "stop", "thredId": thred})
        until(lambda: get(system, f"/api/threds/{thred}")["status"] == "terminated")
        text = system.http("GET", "/metrics", port="engine_port")[1]
        assert 'srvthreds_threds{pattern="echo",reaction="again"} 1' in text
    for path in ("/health/live", "/health/ready"):
        assert system.http("GET", path, port="engine_port")[1]["status"] == "ok"
    assert system.http("GET", "/health/ready?verbose", port="engine_port")[1]["checks"][0]["ok"] is True
