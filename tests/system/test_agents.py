# SPDX-License-Identifier: MIT
"""What an agent's script says and does, on a real server."""
from pathlib import Path

from load import begin

PROFILES = Path(__file__).parent / "profiles"


def test_a_line_that_an_agent_logs_is_in_the_log(servers):
    server = servers(f"--profiles={PROFILES}", profile="exact").start()
    thred, = begin(server, 1)
    event = {"type": "test.ask", "thredId": thred, "data": {"content": {"values": {"seq": 7}}}}
    status, answer = server.http("POST", "/event?wait=5s", event, token="p0")
    assert (status, answer["outcome"]) == (200, "matched")
    line = server.wait_log(lambda one: one.get("msg") == "echoes 7")
    assert (line["module"], line["instance"]) == ("agent", "echo1")
