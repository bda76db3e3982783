# SPDX-License-Identifier: MIT
"""The main job: a sensor reports a contact, two people decide, a robot goes, both get its video. By three ways to take
part: WebSocket, HTTP with inboxes over WebSocket, and the command line; each also with the server killed and started
again between any two messages."""
import json
import re

import pytest

from harness import Client, Refused, until

CONTACT, DEPLOYED, VIDEO = "Possible Contact Detected", "Robot Deployed", "Robot Video Stream"
GROUP = ("participant0", "participant1")
OTHERS = ("participant2", "participant3")
POINTS = ("asked", "answered", "deployed", "answered again", "ended")
FIRST = {"latitude": 33.4484, "longitude": -112.0740}  # the sensor's first reading


def title(event):
    return event.get("data", {}).get("title")


class Person:
    """A participant's session that comes back with lastSeen; keeps all that it ever got."""

    def __init__(self, server, name):
        self.server, self.name, self.events, self.client = server, name, [], None
        self.connect()

    def connect(self):
        last = self.events[-1]["id"] if self.events else None
        self.client = Client(self.server.ready["session_port"], self.name, last)

    def lost(self):
        """The server was killed: what lies in the socket is read to its end."""
        self.client.wait_closed()
        self.events += self.client.events

    def all(self):
        return self.events + self.client.events

    def gets(self, wanted, thred=None):
        def look():
            return next((e for e in self.all() if title(e) == wanted and thred in (None, e["thredId"])), None)
        return until(look, 20, f"\"{wanted}\" for {self.name}: {[title(e) for e in self.all()]}")


class ByWebSocket:
    """Both take part over /ws."""

    def __init__(self, server, verb=None):
        self.server, self.verb = server, verb
        self.people = {name: Person(server, name) for name in GROUP + OTHERS}

    def get(self, name, wanted, thred=None):
        return self.people[name].gets(wanted, thred)

    def answer(self, name, event, values):
        self.people[name].client.values(values, event["thredId"], re=event["id"])

    def restart(self):
        self.server.kill()
        for person in self.people.values():
            person.lost()
        self.server.start()
        for person in self.people.values():
            person.client = None
            person.connect()

    def titles(self, name, thred):
        return [title(e) for e in self.people[name].all() if e.get("thredId") == thred]

    def close(self):
        for person in self.people.values():
            person.client.close()


class ByHttp(ByWebSocket):
    """Answers by POST: the first as an event, the second as bare values; inboxes over /ws."""

    def answer(self, name, event, values):
        if "deploy_robot_response" in values:
            body = {"type": "org.wt.client.tell", "thredId": event["thredId"], "re": event["id"],
                    "data": {"content": {"values": values}}}
            status, answer = self.server.http("POST", "/event?wait=5s", body, token=name)
        else:
            path = f"/values/{event['thredId']}/{event['id']}?wait=5s"
            status, answer = self.server.http("POST", path, values, token=name)
        assert status == 200 and answer["outcome"] == "matched" and answer["threds"] == [event["thredId"]], answer


class ByCommandLine(ByWebSocket):
    """`srvthreds join` for both; the first answer is typed there, the second is `srvthreds send --wait`. Both processes
    live through every restart of the server."""

    def __init__(self, server, verb):
        super().__init__(server, verb)  # the sessions beside them tell ids and what the others got
        self.joined = {name: verb(server, "join", name) for name in GROUP}
        for name, process in self.joined.items():
            process.says(f"You are {name}.")

    def get(self, name, wanted, thred=None):
        event = super().get(name, wanted, thred)
        if name in self.joined:
            self.joined[name].shows(wanted)
        return event

    def answer(self, name, event, values):
        (key, value), = values.items()
        if key == "deploy_robot_response":
            number = re.search(r"#(\d+) Would you like to deploy", self.joined[name].out())[1]
            self.joined[name].type(f"#{number} yes")
            self.joined[name].says("sent")
            return
        done = self.server.run("send", "type=org.wt.client.tell", f"thredId={event['thredId']}", f"re={event['id']}",
                               f"values.{key}={json.dumps(value)}", "--as", name, "--wait")
        assert done.returncode == 0 and "a thred took it" in done.stderr, done

    def restart(self):
        before = {name: process.talk().count("connected again") for name, process in self.joined.items()}
        super().restart()
        for name, process in self.joined.items():
            until(lambda: process.talk().count("connected again") > before[name], 15, f"{name} is back")


WAYS = (ByWebSocket, ByHttp, ByCommandLine)


def play(way, between):
    """The whole conversation; `between(point)` is called after each message. Returns the thred's id."""
    asked = {name: way.get(name, CONTACT) for name in GROUP}
    thred = asked["participant0"]["thredId"]
    assert asked["participant1"] == asked["participant0"]
    between("asked")
    way.answer("participant0", asked["participant0"], {"deploy_robot_response": True})
    between("answered")
    deployed = {name: way.get(name, DEPLOYED, thred) for name in GROUP}
    between("deployed")
    way.answer("participant1", deployed["participant1"], {"video_stream_response": True})
    between("answered again")
    for name in GROUP:
        assert way.get(name, VIDEO, thred)["data"]["content"]["values"] == {
            "videoStreamUrl": "rtsp://robot0.local:8554/stream"}
    between("ended")
    return thred


def check_told_once(way, thred):
    """Each got everything of this thred, in order, once, also over restarts; who is not in the group got nothing."""
    told = [CONTACT, DEPLOYED, VIDEO]
    for name in GROUP:
        titles = [t for t in way.titles(name, thred) if t in told]
        assert titles == told, (name, titles)
        ids = [event["id"] for event in way.people[name].all()]
        assert len(ids) == len(set(ids)), name
    assert way.titles("participant1", thred).count("Action by participant0") == 1, "what one answers the other sees"
    assert "Action by participant0" not in way.titles("participant0", thred)
    for name in OTHERS:
        assert way.people[name].all() == []
    for process in getattr(way, "joined", {}).values():
        assert process.out().count(f"\n{VIDEO}  ") == 1, process.out()


@pytest.fixture
def cast(server, verb):
    made = []

    def make(kind):
        made.append(kind(server, verb))
        return made[-1]

    yield make
    for way in made:
        way.close()


@pytest.mark.parametrize("kind", WAYS)
def test_the_conversation(server, cast, kind):
    way = cast(kind)
    thred = play(way, lambda point: None)
    check_told_once(way, thred)
    log = server.admin("GET", f"/api/threds/{thred}")[1]["log"]
    assert [(line["from"], line["to"]) for line in log if line["outcome"] == "matched"] == [
        ("notify", "deploy"), ("deploy", "deployed"), ("deployed", "video"), ("video", "$terminate")]


@pytest.mark.parametrize("kind", WAYS)
def test_the_conversation_with_a_kill_at_every_point(server, cast, kind):
    way = cast(kind)
    points = []

    def kill(point):
        points.append(point)
        way.restart()

    thred = play(way, kill)
    assert points == list(POINTS)
    check_told_once(way, thred)
    status, counts = server.admin("GET", "/api/dead")
    assert status == 200 and counts["items"] == []


@pytest.mark.parametrize("point", POINTS)
def test_the_conversation_with_a_kill_at_one_point(cast, point):
    way = cast(ByWebSocket)
    thred = play(way, lambda here: way.restart() if here == point else None)
    check_told_once(way, thred)


def test_send_waits_through_a_kill(server, cast, verb):
    """`send --wait` begun while nobody is there goes on when the server is back, and takes effect once."""
    way = cast(ByWebSocket)
    asked = way.get("participant0", CONTACT)
    server.kill()
    for person in way.people.values():
        person.lost()
    sending = verb(server, "send", "type=org.wt.client.tell", f"thredId={asked['thredId']}",
                   "values.deploy_robot_response=true", "--wait", "--as", "participant1", "-o", "json")
    sending.says("trying again with the same id")
    server.start()
    for person in way.people.values():
        person.connect()
    assert sending.end(20) == 0
    assert json.loads(sending.out())["outcome"] == "matched"
    way.get("participant0", DEPLOYED, asked["thredId"])


def test_what_the_messages_say(server, cast):
    way = cast(ByWebSocket)
    thred = play(way, lambda point: None)
    got = {title(e): e for e in way.people["participant1"].all() if e["thredId"] == thred}
    asked, deployed, echoed = got[CONTACT], got[DEPLOYED], got["Action by participant0"]
    for event in got.values():
        assert event["source"] == {"id": "SYSTEM", "name": "Workthreds Bot"}
        assert event["type"] == ("org.wt.broadcast" if event is echoed else "org.wt.tell")
        assert "re" not in event, "only where the pattern sets it"
    assert asked["data"]["content"]["values"] == {**FIRST, "sensorId": "sensor_agent0"}
    assert asked["data"]["description"].endswith("at 33.4484, -112.074")
    assert deployed["data"]["content"]["values"] == {**FIRST, "robotId": "robot_id_0"}
    for event, name in ((asked, "deploy_robot_response"), (deployed, "video_stream_response")):
        advice = event["data"]["advice"]
        assert advice["eventType"] == "org.wt.client.tell" and advice["title"] == title(event)
        question = advice["template"]["interactions"][0]["interaction"]["content"][-1]["input"]
        assert question["name"] == name and [choice["value"] for choice in question["set"]] == [True, False]
    values = echoed["data"]["content"]["values"]
    assert echoed["data"]["content"]["valuesType"] == "broadcastValues"
    assert values["deploy_robot_response"] is True and values["re"] == asked["id"]
    assert values["messageSource"]["id"] == "participant0"
    check_robot(server, thred)


def check_robot(server, thred):
    rows = server.admin("GET", f"/api/threds/{thred}")[1]["events"]
    task = next(row for row in rows if title(row["event"]) == "Deploy Robot")
    assert task["direction"] == "out" and task["to"] == ["robot0"] and not task.get("people")
    assert task["event"]["data"]["content"]["tasks"][0]["params"]["values"]["location"] == FIRST
    answer = next(row for row in rows if row["event"]["type"] == "org.wt.robot")
    assert answer["direction"] == "in" and answer["event"]["re"] == task["id"]
    assert title(answer["event"]) == f"{answer['event']['source']['id']} Result"


def test_a_no_leaves_the_question_open_and_a_second_yes_does_no_harm(server, cast):
    way = cast(ByWebSocket)
    asked = way.get("participant0", CONTACT)
    thred, zero, one = asked["thredId"], *(way.people[name] for name in GROUP)
    way.answer("participant0", asked, {"deploy_robot_response": False})
    assert server.admin("GET", f"/api/threds/{thred}")[1]["reaction"] == "deploy"
    one.client.values({"deploy_robot_response": True}, thred)  # `re` is optional
    late = {"type": "org.wt.client.tell", "thredId": thred,
            "data": {"content": {"values": {"deploy_robot_response": True}}}}
    status, answer = server.http("POST", "/event?wait=5s", late, token="participant0")
    assert status == 200 and answer["outcome"] == "not_matched", answer
    zero.gets(DEPLOYED, thred)
    way.answer("participant0", zero.gets(DEPLOYED, thred), {"video_stream_response": True})
    one.gets(VIDEO, thred)
    check = [t for t in way.titles("participant1", thred) if t in (CONTACT, DEPLOYED, VIDEO)]
    assert check == [CONTACT, DEPLOYED, VIDEO]
    rows = server.admin("GET", f"/api/threds/{thred}")[1]["events"]
    assert [title(row["event"]) for row in rows].count("Deploy Robot") == 1, "one answer is enough, one robot goes"


def test_who_was_not_asked_cannot_answer(server, cast):
    way = cast(ByWebSocket)
    thred = way.get("participant0", CONTACT)["thredId"]
    event = {"type": "org.wt.client.tell", "thredId": thred,
             "data": {"content": {"values": {"deploy_robot_response": True}}}}
    status, answer = server.http("POST", "/event?wait=5s", event, token="participant2")
    assert status == 200 and answer["outcome"] == "not_matched", answer
    assert server.admin("GET", f"/api/threds/{thred}")[1]["reaction"] == "deploy"


def test_broadcasts_go_to_the_others_of_the_thred(server, cast):
    way = cast(ByWebSocket)
    thred = way.get("participant0", CONTACT)["thredId"]
    one, two = way.people["participant1"], way.people["participant2"]
    way.people["participant0"].client.values({"message": "I go there"}, thred, "org.wt.client.broadcast")
    heard = one.gets("Message from participant0", thred)
    assert heard["type"] == "org.wt.broadcast" and heard["data"]["content"]["valuesType"] == "broadcastMessage"
    assert heard["data"]["content"]["values"]["message"] == "I go there"
    assert heard["data"]["content"]["values"]["messageSource"]["id"] == "participant0"
    two.client.values({"message": "me too"}, thred, "org.wt.client.broadcast")
    failed = until(lambda: next((e for e in two.all() if "error" in e["data"].get("content", {})), None),
                   10, "the refusal")
    assert failed["data"]["content"]["error"]["code"] == 4101
    assert way.titles("participant0", thred) == [CONTACT], "the sender hears no echo of it"
    assert server.admin("GET", f"/api/threds/{thred}")[1]["reaction"] == "deploy", "the thred does not move"


def test_each_reading_starts_a_thred_of_its_own(server):
    with server.connect("participant0") as client:
        event = client.wait_title(CONTACT)
        with pytest.raises(Refused):
            client.send({"type": "org.wt.tell", "thredId": event["thredId"]})
        reading = {"type": "org.wt.sensor.detectionEvent", "data": {"content": {"values": FIRST}}}
        status, answer = server.http("POST", "/event?wait=5s", reading, token="participant0")
        assert status == 200 and answer["outcome"] == "no_pattern", "only the sensor's readings count"
