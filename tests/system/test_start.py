# SPDX-License-Identifier: MIT
"""What is refused at start, and what a start takes from the configuration and from the system."""
import http.client
import resource
from pathlib import Path

import pytest

from test_cli import run  # noqa: F401 a fixture


@pytest.mark.parametrize("secret", ["xyz123", "a" * 40, "your-super-secret-key-change-me-in-production"])
@pytest.mark.parametrize("key", ["SRVTHREDS_AUTH_SECRET", "JWT_SECRET", "SRVTHREDS_AUTH_REFRESH_SECRET"])
def test_a_weak_secret_is_refused_beyond_loopback(run, key, secret):  # noqa: F811
    done = run("dev", "--bind=0.0.0.0", env={key: secret})
    assert done.returncode != 0 and "openssl rand" in done.stderr
    assert secret not in done.stderr


def test_the_limit_of_open_files_is_raised(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    of_server = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert of_server == (hard, hard) and soft <= hard


def test_nothing_is_left_in_shared_memory_by_one_that_is_killed(servers):
    server = servers().start()
    pid = server.process.pid
    server.kill()
    assert not [file for file in Path("/dev/shm").iterdir() if file.name.endswith(str(pid))]


def test_pages_of_other_hosts_need_to_be_named(servers):
    def upgrade(server, origin):
        connection = http.client.HTTPConnection("127.0.0.1", server.ready["session_port"], timeout=10)
        try:
            connection.request("GET", "/ws", headers={
                "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Origin": origin,
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "srvthreds.v1"})
            return connection.getresponse().status
        finally:
            connection.close()
    server = servers(env={"SRVTHREDS_AUTH_ORIGINS": "https://console.example"}).start()
    assert upgrade(server, "https://console.example") == 101
    assert upgrade(server, "https://other.example") == 403


def test_metrics_name_the_commit(server):
    text = server.http("GET", "/metrics", port="engine_port")[1]
    line = next(line for line in text.splitlines() if line.startswith("srvthreds_build_info{"))
    assert 'revision="' in line and 'revision=""' not in line
