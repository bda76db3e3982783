# SPDX-License-Identifier: MIT
"""The session agent's protocols: login, replay, cursor, what is refused and how, ids and duplicates, many and slow
clients, HTTP statuses."""
import asyncio
import base64
import http.client
import json
import os
import socket
import sqlite3
import struct
import threading
from contextlib import closing

import pytest
import websockets

from harness import LOOP, Client, until

ECHO = {"type": "org.wt.echo", "data": {"content": {"values": {"echoTo": "participant0", "echoTitle": "n"}}}}

BIG = b'{"type":"' + b"x" * (1100 << 10) + b'"}'


def echo(to="participant0", title="n", thred=None):
    event = {"type": "org.wt.echo", "data": {"content": {"values": {"echoTo": to, "echoTitle": title}}}}
    return {**event, "thredId": thred} if thred else event


def titles(client):
    return [event["data"]["title"] for event in client.events if event.get("data", {}).get("title", "").startswith("n")]


@pytest.fixture
def quiet(servers):
    """A server whose profile has no sensor."""
    server = servers(profile="mine")
    profile = server.folder / "run-profiles" / "mine"
    profile.mkdir(parents=True)
    (profile / "profile.lua").write_text("""return {
      participants = { admin = { roles = { "admin" } }, participant0 = {}, participant1 = {}, participant2 = {} },
      groups = { group0 = { "participant0", "participant1" } } }""")
    (profile / "patterns").mkdir()
    (profile / "patterns" / "echo.lua").write_text("""local p = require "srvthreds.pattern"
      return p.pattern "Echo" {
        p.reaction "echo" { p.where { type = "org.wt.echo" } {
          on_true = function(_, thred) thred.n = (thred.n or 0) + 1 end,
          transform = {
            title = function(event, thred) return event:value "echoTitle" .. " " .. thred.n end,
            content = { values = function(event) return { filler = ("x"):rep(event:value "size" or 0) } end },
          },
          publish = function(event) return event:value "echoTo" end, transition = "echo" } } }""")
    return server.start()


class Raw:
    """A WebSocket without any protocol of ours: text in and out."""

    def __init__(self, server, path="/ws", headers=None):
        async def open():
            return await websockets.connect(f"ws://127.0.0.1:{server.ready['session_port']}{path}", max_size=None,
                                            subprotocols=["srvthreds.v1"], extra_headers=headers or {},
                                            ping_interval=None)
        self.socket = LOOP.call(open(), 10)

    def send(self, frame):
        LOOP.call(self.socket.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame)), 10)

    def receive(self):
        return json.loads(LOOP.call(asyncio.wait_for(self.socket.recv(), 10), 11))

    def closed(self):
        LOOP.call(asyncio.wait_for(self.socket.wait_closed(), 10), 11)
        return self.socket.close_code

    def close(self):
        LOOP.call(self.socket.close(), 10)


def test_login(quiet):
    raw = Raw(quiet)
    raw.send({"event": ECHO})
    assert raw.receive()["error"]["code"] == 4101, "nothing before the login"
    raw.send({"token": "participant0"})
    hello = raw.receive()["hello"]
    assert hello["participantId"] == "participant0" and hello["sessionId"] and hello["version"]
    raw.send({"token": "participant1"})
    assert raw.receive()["error"]["code"] == 4000, "once"
    raw.close()


def test_a_bearer_in_the_handshake_is_a_login(quiet):
    raw = Raw(quiet, headers={"Authorization": "Bearer participant0"})
    assert raw.receive()["hello"]["participantId"] == "participant0"
    raw.send({"event": echo()})
    got = [raw.receive() for _ in range(2)]
    assert any("accepted" in frame for frame in got) and any("event" in frame for frame in got)
    raw.close()
    first = next(frame["event"]["id"] for frame in got if "event" in frame)
    quiet.http("POST", "/event", echo(title="n later"), token="participant1")
    raw = Raw(quiet, f"/ws?lastSeen={first}", {"Authorization": "Bearer participant0"})
    assert "hello" in raw.receive()
    assert raw.receive()["event"]["data"]["title"] == "n later 1"
    raw.close()


@pytest.mark.parametrize("before", [0, 2])
def test_nothing_is_missed_before_the_first_event(quiet, before):
    """The server is killed between the login and the first message: who comes back begins where it began."""
    for n in range(before):
        quiet.http("POST", "/event?wait=5s", echo(title=f"n old{n}"), token="participant1")
    with quiet.connect("participant0") as client:
        begin = client.hello["lastSeen"]
        assert bool(begin) == bool(before)
        quiet.kill()
        client.wait_closed()
    quiet.start()
    for title in ("n one", "n two"):
        quiet.http("POST", "/event?wait=5s", echo(title=title), token="participant1")
    with quiet.connect("participant0", last_seen=begin) as client:
        client.wait_title("n two 1")
        assert titles(client) == ["n one 1", "n two 1"]
        assert client.hello["lastSeen"] == begin
    with quiet.connect("participant0") as client:  # and without it, nothing that was there before
        quiet.http("POST", "/event", echo(title="n three"), token="participant1")
        client.wait_title("n three 1")
        assert titles(client) == ["n three 1"] and client.hello["lastSeen"] != begin


@pytest.mark.parametrize("token", ["nobody", "", 5, None, {"a": 1}])
def test_a_wrong_token_is_refused_and_the_connection_ends(quiet, token):
    raw = Raw(quiet)
    raw.send({"token": token})
    assert raw.receive()["error"]["code"] == 4101
    if token is not None:
        assert raw.closed() == 4401
    raw = Raw(quiet, headers={"Authorization": "Bearer nobody"})
    assert raw.receive()["error"]["code"] == 4101
    assert raw.closed() == 4401


def test_last_seen_gets_what_came_after_in_order_and_once(quiet):
    first = quiet.connect("participant0")
    thred = quiet.http("POST", "/event?wait=5s", echo(), token="participant1")[1]["threds"][0]
    seen = first.wait()["id"]
    first.close()
    sender = quiet.connect("participant1")
    for _ in range(600):  # more than a page
        sender.write({"event": echo(thred=thred)})
    back = Client(quiet.ready["session_port"], "participant0", seen)  # while it still comes in
    until(lambda: len(titles(back)) >= 600, 20, "all of it")
    quiet.http("POST", "/event?wait=5s", echo(title="last", thred=thred), token="participant1")
    back.wait_title("last 602")
    assert titles(back) == [f"n {n}" for n in range(2, 602)]
    back.close()
    sender.close()


def test_the_cursor_counts_when_last_seen_is_absent(quiet):
    thred = quiet.http("POST", "/event?wait=5s", echo(), token="participant1")[1]["threds"][0]
    with quiet.connect("participant0") as client:
        assert client.events == [], "with neither, a session begins at now"
        quiet.http("POST", "/event?wait=5s", echo(thred=thred), token="participant1")
        event = client.wait_title("n 2")
        client.seen(event["id"])
        client.send({"type": "org.wt.other"})  # frames are handled in order: seen is done
    quiet.http("POST", "/event?wait=5s", echo(thred=thred), token="participant1")
    quiet.kill()
    quiet.start()
    with quiet.connect("participant0") as client:
        client.wait_title("n 3")
        assert titles(client) == ["n 3"]
        client.seen("nonesuch")
        assert until(lambda: client.errors, 5)[0]["code"] == 5201


def test_an_unknown_last_seen_is_told_and_the_session_goes_on(quiet):
    with Client(quiet.ready["session_port"], "participant0", "nonesuch") as client:
        error = until(lambda: client.errors, 5)[0]
        assert error["code"] == 5201 and error["id"] == "nonesuch" and "lastSeen" in error["message"]
        client.send(echo())
        client.wait_title("n 1")


def test_each_session_of_a_participant_gets_each_message(quiet):
    clients = [quiet.connect("participant0") for _ in range(3)]
    assert len({client.hello["sessionId"] for client in clients}) == 3
    clients[0].send(echo())
    for client in clients:
        client.wait_title("n 1")
    clients[1].close()
    clients[0].send(echo())
    for client in (clients[0], clients[2]):
        until(lambda: len(titles(client)) == 2, 5)
        client.close()


@pytest.mark.parametrize("frame,code", [
    ("{", 4000), ("[]", 4000), ("5", 4000), ('""', 4000), ("{}", 4000), ('{"event":5}', 4200), ('{"event":{}}', 4202),
    ('{"event":{"type":5}}', 4200), ('{"event":{"type":"x","data":5}}', 4200), ('{"event":{"type":"x","id":5}}', 4200),
    ('{"event":{"type":"x","time":"now"}}', 4200), ('{"event":{"type":"x","thredId":[]}}', 4200),
    ('{"event":{"type":"x","data":{"content":{"values":123456789012345678901234567890}}}}', 4000),
    ('{"event":{"type":"org.wt.tell"}}', 4200), ('{"event":{"type":"org.wt.broadcast"}}', 4200),
    ('{"event":{"type":"x","data":' + '{"a":' * 120 + "1" + "}" * 121 + "}", 4000), ('{"seen":5}', 5201),
])
def test_what_is_malformed_gets_an_error_and_the_connection_stays(quiet, frame, code):
    with quiet.connect("participant0") as client:
        client.write(frame)
        error = until(lambda: client.errors, 5)[0]
        assert error["code"] == code, error
        assert error["message"]
        assert client.send(echo()) in client.accepted


def frame_of(opcode, payload):
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([0x80 | opcode]) + (bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size))
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def test_invalid_utf8_closes_with_1007_and_too_much_with_1009(quiet):
    client = quiet.connect("participant0")
    client.write({"event": {"type": "x", "data": {"content": {"values": {"v": "x" * (1100 << 10)}}}}})
    assert client.wait_closed() == 1009
    with socket.create_connection(("127.0.0.1", quiet.ready["session_port"]), 10) as plain:
        key = base64.b64encode(os.urandom(16)).decode()
        plain.sendall((f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                       f"Sec-WebSocket-Protocol: srvthreds.v1\r\n\r\n").encode())
        assert b" 101 " in plain.recv(4096)
        plain.sendall(frame_of(1, b'{"token": "\xff\xfe"}'))
        got = plain.recv(4096)
        assert got[0] == 0x88 and struct.unpack(">H", got[2:4])[0] == 1007, got


def test_the_source_is_who_logged_in_and_what_only_the_system_says_goes(quiet):
    with quiet.connect("participant0") as client:
        id = client.send({**echo(), "source": {"id": "admin", "name": "me"}, "causedBy": "x", "hops": 3})
        kept = until(lambda: quiet.admin("GET", f"/api/events/{id}")[1].get("event"), 5)
        assert kept["source"] == {"id": "participant0"}
        assert "causedBy" not in kept and "hops" not in kept


def test_ids_and_times_are_made_when_they_are_missing(quiet):
    with quiet.connect("participant0") as client:
        client.write({"event": echo()})
        id, = until(lambda: client.accepted, 5)
        kept = until(lambda: quiet.admin("GET", f"/api/events/{id}")[1].get("event"), 5)
        assert kept["id"] == id and isinstance(kept["time"], int)
        mine = client.send({**echo(), "time": 5})
        assert until(lambda: quiet.admin("GET", f"/api/events/{mine}")[1].get("event"), 5)["time"] == 5


def test_duplicates_and_conflicts(quiet):
    with quiet.connect("participant0") as client, quiet.connect("participant1") as other:
        id = client.send({**echo(), "id": "one", "time": 1})
        assert client.send({**echo(), "id": "one", "time": 2}) == id, "the time makes no difference"
        client.write({"event": {**echo(title="n other"), "id": "one"}})
        refused = until(lambda: client.errors, 5)[0]
        assert refused["code"] == 4200 and refused["id"] == "one" and "one" in refused["message"]
        assert other.send({**echo(), "id": "one"}) == id, "ids are unique per source"
        until(lambda: len(titles(client)) == 2, 5)
        status, answer = quiet.http("POST", "/event?wait=2s", {**echo(), "id": "one"}, token="participant0")
        assert status == 200 and answer["outcome"] == "duplicate" and len(answer["threds"]) == 1
        status, answer = quiet.http("POST", "/event", {**echo(title="n other"), "id": "one"}, token="participant0")
        assert status == 400 and answer["error"]["code"] == 4200
        assert len(titles(client)) == 2
    quiet.kill()
    quiet.start()
    status, answer = quiet.http("POST", "/event?wait=2s", {**echo(), "id": "one"}, token="participant0")
    assert status == 200 and answer["outcome"] == "duplicate", "also after a restart"


def test_a_slow_reader_harms_nobody_and_loses_nothing(quiet):
    async def stalled():
        return await websockets.connect(f"ws://127.0.0.1:{quiet.ready['session_port']}/ws",
                                        subprotocols=["srvthreds.v1"], max_queue=1, max_size=None,
                                        compression=None, ping_interval=None)
    slow = LOOP.call(stalled(), 10)
    LOOP.call(slow.send(json.dumps({"token": "participant0"})), 10)
    hello = json.loads(LOOP.call(slow.recv(), 10))
    assert "hello" in hello
    LOOP.call(slow.send(json.dumps({"event": echo()})), 10)
    frames = [json.loads(LOOP.call(slow.recv(), 10)) for _ in range(2)]
    last = next(frame["event"] for frame in frames if "event" in frame)
    big = {"type": "org.wt.echo", "thredId": last["thredId"],
           "data": {"content": {"values": {"echoTo": "participant0", "echoTitle": "n", "size": 200000}}}}
    count = 60  # 12 MB nobody reads
    with quiet.connect("participant1") as other:
        highest = 0
        for _ in range(count):
            other.send(big)
            highest = max(highest, quiet.metric("srvthreds_session_send_queue_bytes"))
        assert highest > 200000
        assert other.send(echo("participant1")), "the others go on"
        other.wait_title("n 1")
        assert quiet.http("GET", "/health/ready")[0] == 200
    slow.transport.abort()
    with Client(quiet.ready["session_port"], "participant0", last["id"]) as back:
        until(lambda: len(titles(back)) == count, 20, "all that was missed")
        assert titles(back) == [f"n {n}" for n in range(2, count + 2)]


def test_many_clients(quiet):
    clients = [quiet.connect(f"participant{n % 2}") for n in range(200)]
    quiet.http("POST", "/event", echo("$group0"), token="participant2")
    for client in clients:
        client.wait_title("n 1")
    async def close():
        await asyncio.gather(*(client.socket.close() for client in clients))
    LOOP.call(close(), 20)
    until(lambda: quiet.admin("GET", "/api/stats")[1]["sessions"] == [], 5, "no sessions left")


@pytest.mark.parametrize("path,body,token,status,code", [
    ("/event", b"{", "participant0", 400, 4000), ("/event", b"[]", "participant0", 400, 4200),
    ("/event", {}, "participant0", 400, 4202), ("/event", {"type": "org.wt.tell"}, "participant0", 400, 4200),
    ("/event?wait=soon", ECHO, "participant0", 400, 4200), ("/event", ECHO, None, 401, 4101),
    ("/event", ECHO, "nobody", 401, 4101), ("/values", {"a": 1}, None, 401, 4101),
    ("/values", b"{", "participant0", 400, 4000),
    ("/event", BIG, "participant0", 413, 4000), ("/nothing", ECHO, "participant0", 404, 5201),
], ids=lambda value: "big" if value is BIG else None)
@pytest.mark.parametrize("port", ["session_port", "session_http_port"])
def test_http_refusals(quiet, port, path, body, token, status, code):
    got, answer = quiet.http("POST", path, body, token=token, port=port)
    assert (got, answer["error"]["code"]) == (status, code), answer
    assert answer["error"]["message"]


def test_http_takes_post_only(quiet):
    for path in ("/event", "/values"):
        status, answer = quiet.http("GET", path, token="participant0")
        assert status == 405 and "POST" in answer["error"]["message"]
    for headers, status, name, value in (({"Authorization": "Bearer participant0"}, 405, "Allow", "POST"),
                                         ({}, 401, "WWW-Authenticate", "Bearer")):
        connection = http.client.HTTPConnection("127.0.0.1", quiet.ready["session_http_port"], timeout=10)
        connection.request("GET" if headers else "POST", "/event", "{}", headers)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader(name)) == (status, value)
        connection.close()


def test_http_answers(quiet):
    status, answer = quiet.http("POST", "/event", ECHO, token="participant0")
    assert status == 200 and set(answer) == {"id"}
    status, answer = quiet.http("POST", "/event?wait=2s", ECHO, token="participant0")
    assert status == 200 and answer["outcome"] == "matched" and len(answer["threds"]) == 1 and "error" not in answer
    thred = answer["threds"][0]
    status, answer = quiet.http("POST", "/event?wait=2s", {"type": "org.wt.nobody"}, token="participant0")
    assert answer["outcome"] == "no_pattern" and answer["threds"] == []
    status, answer = quiet.http("POST", "/event?wait=2s", {"type": "x", "thredId": "none"}, token="participant0")
    assert status == 200 and answer["outcome"] == "no_thred" and answer["error"]["code"] == 5203
    status, answer = quiet.http("POST", f"/values/{thred}/some%2Fre?wait=2s", [{"a": 1}], token="participant0")
    assert status == 200 and answer["outcome"] == "not_matched" and answer["threds"] == [thred]
    kept = quiet.admin("GET", f"/api/events/{answer['id']}")[1]["event"]
    assert kept["type"] == "org.wt.session" and kept["re"] == "some/re" and kept["thredId"] == thred
    assert kept["data"]["content"]["values"] == [{"a": 1}]
    assert quiet.http("POST", "/values", {"a": 1}, token="participant0")[0] == 200
    assert quiet.http("POST", f"/values/{thred}/x/y", {"a": 1}, token="participant0")[0] == 400


def test_payloads_survive_unchanged(quiet):
    values = b'{"a":[],"b":{},"c":null,"d":9223372036854775807,"e":-0.1,"f":"\xe2\x82\xac\\u0000","g":1.0}'
    body = b'{"id":"p","type":"org.wt.payload","data":{"content":{"values":' + values + b"}}}"
    assert quiet.http("POST", "/event", body, token="participant0")[0] == 200
    kept = until(lambda: quiet.admin("GET", "/api/events/p")[1].get("event"), 5)
    assert kept["data"]["content"]["values"] == json.loads(values)


def test_a_server_that_stops_answers_503_or_nothing(quiet):
    """While it drains nobody is told that an event was taken unless it was."""
    taken = []
    with quiet.connect("participant0") as client:
        quiet.signal(15)
        try:
            for _ in range(1000):
                taken.append(client.send(ECHO))
        except (AssertionError, websockets.ConnectionClosed):
            pass
        assert client.wait_closed() == 1012
    assert quiet.wait_exit() == 0
    quiet.start()
    for id in taken:
        assert quiet.admin("GET", f"/api/events/{id}")[0] == 200


def test_a_server_that_stops_takes_http_requests_or_says_no(quiet):
    """Over connections that stay open: 200 is on disk, 503 is not, and the end comes between two answers."""
    taken, others = [], []

    def send(name):
        connection = http.client.HTTPConnection("127.0.0.1", quiet.ready["session_http_port"], timeout=10)
        try:
            for n in range(100000):
                event = {"id": f"{name}-{n}", "type": "org.wt.nobody"}
                connection.request("POST", "/event", json.dumps(event), {"Authorization": f"Bearer {name}"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status != 200:
                    others.append((answer.status, answer.getheader("Retry-After"), body["error"]["code"]))
                    return
                taken.append(body["id"])
        except (OSError, http.client.HTTPException):
            pass

    senders = [threading.Thread(target=send, args=(f"participant{n % 3}",)) for n in range(3)]
    for sender in senders:
        sender.start()
    until(lambda: len(taken) > 100)
    quiet.signal(15)
    assert quiet.wait_exit() == 0
    for sender in senders:
        sender.join(10)
    assert set(others) <= {(503, "1", 5000)}, others
    quiet.start()
    with closing(sqlite3.connect(quiet.data / "srvthreds.db")) as db:
        stored = {id for id, in db.execute("select json_extract(body, '$.id') from event")}
    assert set(taken) <= stored
