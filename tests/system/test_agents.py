# SPDX-License-Identifier: MIT
"""What an agent's script says and does, on a real server."""
from pathlib import Path

import pytest

from harness import until
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


ASK = """local p = require "srvthreds.pattern"
return p.pattern "Asking" { p.reaction "ask" { p.any {
  p.where { type = "ask" } { transform = { content = { tasks = function(event)
      return p.array { { name = event:value "task" } }
    end } }, publish = "worker1", transition = "$noTransition" },
  p.where { type = "org.test.worker" } { transform = { title = function(event) return event:value "said" end },
    publish = "p0", transition = "$noTransition" },
} } }
"""
WORKER = """local agent = require "srvthreds.agent"
return agent.agent "org.test.worker" {
  limits = { cpu = 50 },
  tasks = {
    loop = function() while true do local _ = {} end end, -- LOOP
    fine = function() return { said = "fine" } end,
  },
}
"""


@pytest.fixture
def worker(servers):
    """A server with an agent that may loop, paused after three runaways, and a pattern that asks it."""
    server = servers("--pause-after=3", profile="work")
    profile = server.folder / "run-profiles" / "work"
    for path, text in (("profile.lua", 'return { participants = { admin = { roles = { "admin" } }, p0 = {} },'
                                       ' agents = { worker = { id = "worker1" } } }'),
                       ("patterns/asking.lua", ASK), ("agents/worker.lua", WORKER)):
        (profile / path).parent.mkdir(parents=True, exist_ok=True)
        (profile / path).write_text(text)
    server.file = profile / "agents" / "worker.lua"
    return server.start()


def ask(client, task):
    client.send({"type": "ask", "data": {"content": {"values": {"task": task}}}})


def paused(server):
    return {p["id"]: p for p in server.admin("GET", "/api/stats")[1]["paused"]}


def titles(client):
    return [event["data"]["title"] for event in client.events]


def test_a_runaway_agent_pauses_and_an_edit_resumes(worker):
    server = worker
    with server.connect("p0") as client:
        for n in range(1, 4):
            ask(client, "loop")
            until(lambda: len(client.events) == n, what="the error")  # noqa: B023
        for event in client.events:
            message = event["data"]["content"]["error"]["message"]
            line = 1 + WORKER[:WORKER.index("-- LOOP")].count("\n")
            assert f"worker.lua:{line}" in message and "ms of CPU time, the limit is 50.0 ms" in message, message
        until(lambda: paused(server).get("worker1"), what="the agent to be paused")
        for _ in range(2):
            ask(client, "fine")
        until(lambda: paused(server)["worker1"]["waiting"] == 2, what="two to wait")
        assert paused(server)["worker1"]["kind"] == "agent"
        # What an operator sees, and what to do next.
        assert "agents resume worker1" in server.wait_log(lambda l: "agent paused" in l.get("msg", ""))["msg"]
        status, ready = server.http("GET", "/health/ready", port="engine_port")
        assert status == 200 and "agent worker1 is paused" in ready["notes"][0], ready
        assert server.metric("srvthreds_agents_paused") == 1
        assert server.metric('srvthreds_agent_messages_waiting{agent="worker1"}') == 2
        exceeded = 'srvthreds_script_budget_exceeded_total{pattern="agent worker1",reaction="",kind="cpu"}'
        assert server.metric(exceeded) == 3, server.http("GET", "/metrics")[1]
        listed = server.run("agents", "list").stdout
        assert "went over their budget 3 times" in listed and "2 messages wait" in listed, listed
        assert "agent worker1 is paused" in server.run("doctor").stdout
        used, = [s for s in server.admin("GET", "/api/stats")[1]["scripts"] if s["pattern"] == "agent worker1"]
        assert used["exceeded"] == 3 and used["cpu_ms"] >= 150 and used["bytes"] > 0, used
        # It stays so, is mended, and goes on.
        server.kill()
        server.start()
    with server.connect("p0") as client:
        assert paused(server)["worker1"]["waiting"] == 2
        server.file.write_text(WORKER.replace("while true do local _ = {} end", ""))
        until(lambda: titles(client)[-2:] == ["fine", "fine"], what="what has waited")
        assert not paused(server) and server.metric("srvthreds_agents_paused") == 0


def test_an_agent_is_paused_and_resumed_by_command(worker):
    server = worker
    done = server.run("agents", "pause", "worker1", "--reason", "until Monday", "--yes")
    assert done.returncode == 0 and "agents resume worker1" in done.stderr, done
    with server.connect("p0") as client:
        ask(client, "fine")
        until(lambda: paused(server)["worker1"]["waiting"] == 1, what="it to wait")
        server.file.write_text(WORKER + "-- an edit\n")
        server.wait_log(lambda l: l.get("msg") == "agent reloaded")
        assert paused(server)["worker1"]["reason"] == "until Monday"
        done = server.run("agents", "resume", "worker1", "--yes")
        assert done.returncode == 0 and "1 messages waited" in done.stderr, done
        until(lambda: titles(client) == ["fine"], what="what has waited")
    assert "is not paused" in server.run("agents", "resume", "worker1", "--yes").stderr
    assert server.run("agents", "resume", "nosuch", "--yes").returncode == 1
    audits = [line for line in server.admin("GET", "/api/agents")[1]["items"] if line["id"] == "worker1"]
    assert audits[0]["status"] == "active" and audits[0]["used"]["calls"] == 1, audits
