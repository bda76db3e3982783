# SPDX-License-Identifier: MIT
"""The system's own records on a real server: what dataControl answers while others work, and who is refused."""
import random

from harness import load, until


def task(op, collection, matcher=None, **params):
    return {"op": op, "params": {"type": collection, "matcher": matcher or {}, **params}}


def question(event_id, tasks):
    return {"id": event_id, "type": "org.wt.control.dataControl", "thredId": "SYSTEM",
            "data": {"content": {"tasks": list(tasks)}}}


def control(client, *tasks):
    """The answer's content."""
    asked = client.send(question(f"ask-{random.getrandbits(64)}", tasks))
    return client.wait(lambda event: event.get("re") == asked, 20, "an answer")["data"]["content"]


def echo(number):
    return {"id": f"e{number}", "type": "org.wt.echo", "data": {"content": {"values": {
        "echoTo": "participant0", "echoTitle": "echo", "echoContent": {"n": number}}}}}


def test_records_of_a_running_system(server):
    total, newest = load(400), {"sort": [{"field": "n", "desc": True}]}
    with server.connect("participant1") as sender, server.connect("admin") as admin:
        for number in range(total):
            sender.write({"event": echo(number)})
            if number % 100 == 50:  # while others are at work
                got, = control(admin, task("count", "threds"))["values"]["result"]
                assert got >= 0
        until(lambda: len(sender.accepted) == total, 20, "all accepted")

        def done():
            matched = task("count", "events", {"type": "org.wt.echo", "outcome": "matched"})
            return control(admin, matched)["values"]["result"] == [total]
        until(done, 20, "all to be processed")
        last, thred = control(
            admin, task("getOne", "events", {"people": "participant0", "event.data.title": {"$re": "^echo"}},
                        collector=newest),  # the sensor has told everybody of a contact, perhaps
            task("getOne", "events", {"id": "e7", "source": "participant1"}))["values"]["result"]
        assert last["event"]["data"]["title"].startswith("echo") and last["people"] == ["participant0"]
        of_thred, live, archived = control(
            admin, task("get", "events", {"threds": thred["threds"][0]}, collector={"sort": [{"field": "n"}]}),
            task("count", "threds", {"participants": "participant1", "pattern": "echo_test"}),
            task("count", "archive"))["values"]["result"]
        assert [event["direction"] for event in of_thred] == ["in", "out"]
        assert live + archived >= total
        refused = control(sender, task("get", "events"))
        assert refused["error"]["code"] == 4101
        who, = control(admin, task("get", "audit", {"error": {"$exists": True}}))["values"]["result"]
        assert [record["who"] for record in who] == ["participant1"]


def test_a_scan_is_slow_alone(server):
    """A search through everything ends with its deadline or its end; steps go on meanwhile."""
    total = load(2000)
    with server.connect("participant1") as sender, server.connect("admin") as admin:
        for number in range(total):
            sender.write({"event": echo(number)})
        until(lambda: len(sender.accepted) == total, 20, "all accepted")
        search = task("count", "events", {"event.data.title": {"$re": "x+y"}})
        searched = admin.send(question("search", [search] * 20))
        sender.send(echo(total))
        answer = admin.wait(lambda event: event.get("re") == searched, 30, "an answer")
        assert answer["data"]["content"]["values"]["result"] == [0] * 20
