# SPDX-License-Identifier: MIT
"""It starts, says it is ready, is healthy, takes an event from a participant, and ends as it was told."""
import json
import urllib.request

import pytest

from harness import Refused

EVENT = {"type": "org.wt.smoke", "data": {"content": {"values": {"answer": 42}}}}


def test_ready_line_says_where_everything_is(server):
    ready = server.ready
    assert ready["profile"] == "ef-detection"
    assert ready["store"].startswith("sqlite:")
    assert ready["version"]
    ports = [ready[key] for key in ("engine_port", "session_port", "session_http_port")]
    assert all(1024 <= port <= 65535 for port in ports) and len(set(ports)) == 3


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/livez", "/readyz", "/healthz"])
@pytest.mark.parametrize("port", ["engine_port", "session_http_port"])
def test_health(server, port, path):
    assert server.http("GET", path, port=port)[0] == 200


def test_metrics(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ready['engine_port']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert "srvthreds_build_info{" in text
    assert "process_resident_memory_bytes " in text


def test_event_over_websocket_is_accepted(server):
    with server.connect("participant0") as client:
        assert client.hello["participantId"] == "participant0"
        assert client.hello["sessionId"]
        id = client.send(EVENT)
        assert client.accepted == {id}
        assert client.send({**EVENT, "id": id}) == id, "a duplicate is answered as the first was"


def test_malformed_frame_gets_an_error_and_the_connection_stays(server):
    with server.connect("participant0") as client:
        client.write("{")
        client.write({"nonsense": 1})
        id = client.send(EVENT)
        assert id in client.accepted
        assert len(client.errors) == 2, client.errors


def test_unknown_token_is_refused(server):
    with pytest.raises(Refused) as refused:
        server.connect("nobody")
    assert refused.value.code in (4101, 4102)


def test_event_over_http_is_accepted(server):
    status, answer = server.http("POST", "/event", EVENT, token="participant0")
    assert status == 200 and answer["id"], answer
    assert server.http("POST", "/event", EVENT)[0] == 401
    status, answer = server.http("POST", "/event", b"{", token="participant0")
    assert status == 400 and answer["error"]["code"] == 4000, answer


def test_sigterm_drains_and_ends_with_0(server):
    with server.connect("participant0") as client:
        client.send(EVENT)
        assert server.stop(timeout=5) == 0
        assert client.wait_closed() == 1012


def test_after_kill_9_it_starts_on_the_same_data(server):
    with server.connect("participant0") as client:
        id = client.send(EVENT)
    server.kill()
    server.start()
    status, event = server.admin("GET", f"/api/events/{id}")
    assert status == 200, event
    assert json.dumps(event).count(id)
