# SPDX-License-Identifier: MIT
"""Live edit: a saved pattern or agent file changes the running system within a second, whatever the editor does."""
import os
import time

import pytest

from harness import until

SECOND = 1.0


def pattern(name, type, title, more=""):
    return f"""local p = require "srvthreds.pattern"
return p.pattern "{name}" {{
  {more}
  p.reaction "one" {{ p.where {{ type = "{type}" }} {{
    transform = {{ title = "{title}" }}, publish = function(event) return event.source.id end }} }},
  p.reaction "two" {{ p.where {{ type = "{type}.next" }} {{
    transform = {{ title = "{title} again" }}, publish = function(event) return event.source.id end }} }},
}}
"""


def replace(path, text):
    """As most editors save: a new file under the old name."""
    part = path.with_suffix(".tmp~")
    part.write_text(text)
    os.replace(part, path)


@pytest.fixture
def live(servers):
    """A server on a folder of patterns that is empty."""
    server = servers(profile="test")
    server.patterns = server.folder / "patterns"
    server.patterns.mkdir()
    return server.start()


def versions(server):
    return {item["id"]: item["version"] for item in server.admin("GET", "/api/patterns")[1]["items"]}


def version_of(server, id):
    return versions(server).get(id)


def takes_over(server, id, change):
    """Does `change()` and returns the version that is active within a second of it."""
    before = version_of(server, id)
    change()
    began, withheld = time.monotonic(), server.withheld()
    after = until(lambda: next((v for v in [version_of(server, id)] if v != before), None), 5, f"a new version of {id}")
    assert time.monotonic() - began < SECOND + server.withheld() - withheld
    return after


def ask(client, type):
    """The title that an event of this type is answered with."""
    client.send({"type": type})
    return client.wait()["data"]["title"]


def test_a_saved_file_changes_the_running_system(live):
    file = live.patterns / "a.lua"
    with live.connect("p0") as client:
        first = takes_over(live, "a", lambda: replace(file, pattern("A", "a", "one")))
        assert ask(client, "a") == "one"
        thred = client.events[-1]["thredId"]
        second = takes_over(live, "a", lambda: replace(file, pattern("A", "a", "two")))
        assert ask(client, "a") == "two"
        client.send({"type": "a.next", "thredId": thred})
        assert client.wait()["data"]["title"] == "two again", "a live thred of the same shape moves over"
        assert takes_over(live, "a", lambda: file.write_text(pattern("A", "a", "one"))) == first, "written in place"
        assert second != first


def test_a_bad_file_changes_nothing_and_is_explained(live):
    file = live.patterns / "a.lua"
    good = takes_over(live, "a", lambda: replace(file, pattern("A", "a", "one")))
    replace(file, pattern("A", "a", "two", "max_instance = 1,"))
    line = live.wait_log(lambda l: "a.lua can't be used" in l["msg"])
    assert "did you mean `max_instances`" in line["msg"] and "a.lua:3" in line["msg"]
    assert version_of(live, "a") == good
    with live.connect("p0") as client:
        assert ask(client, "a") == "one"
    shown = live.run("patterns", "list")
    assert shown.returncode == 0, shown.stderr
    assert "max_instances" in shown.stdout
    problem = live.admin("GET", "/api/patterns")[1]["problems"][0]
    assert problem["file"].endswith("a.lua") and "max_instances" in problem["text"]
    takes_over(live, "a", lambda: replace(file, pattern("A", "a", "three")))
    assert live.admin("GET", "/api/patterns")[1]["problems"] == []


def test_editors_write_twice_rename_away_and_leave_files_behind(live):
    file = live.patterns / "a.lua"

    def truncated_then_written():
        file.write_text("")
        time.sleep(0.02)
        file.write_text(pattern("A", "a", "one"))

    def written_twice():
        file.write_text(pattern("A", "a", "half"))
        file.write_text(pattern("A", "a", "whole"))

    def renamed_away():
        os.rename(file, live.patterns / "a.lua~")
        time.sleep(0.08)
        (live.patterns / ".a.lua.swp").write_text("not Lua")
        (live.patterns / "4913").write_text("")
        (live.patterns / "4913").unlink()
        file.write_text(pattern("A", "a", "renamed"))
        (live.patterns / "a.lua~").unlink()

    with live.connect("p0") as client:
        takes_over(live, "a", truncated_then_written)
        assert ask(client, "a") == "one"
        takes_over(live, "a", written_twice)
        until(lambda: ask(client, "a") == "whole", 2, "the last one written")
        takes_over(live, "a", renamed_away)
        assert ask(client, "a") == "renamed"
    levels = [line["msg"] for line in live.log() if line["level"] in ("warn", "error") and "a.lua" in line["msg"]]
    assert levels == [], "what an editor does in between is not told as a mistake"


def test_ten_files_at_once(live):
    def save(title):
        for n in range(10):
            replace(live.patterns / f"p{n}.lua", pattern(f"P{n}", f"t{n}", f"{title} {n}"))

    for title in ("one", "two"):
        began, withheld = time.monotonic(), live.withheld()
        before = versions(live)
        save(title)
        def changed():
            return [id for id, version in versions(live).items() if id.startswith("p") and before.get(id) != version]

        until(lambda: len(changed()) == 10, 5)
        assert time.monotonic() - began < SECOND + live.withheld() - withheld
        with live.connect("p0") as client:
            assert [ask(client, f"t{n}") for n in range(10)] == [f"{title} {n}" for n in range(10)]


def test_modules_in_a_lib_folder_made_later(live):
    lib = live.patterns / "lib"
    text = pattern("A", "a", "x").replace('title = "x"', "title = words.title", 1)
    text = 'local words = require "lib.words"\n' + text
    replace(live.patterns / "a.lua", text)
    live.wait_log(lambda l: "lib.words" in l["msg"])
    lib.mkdir()
    time.sleep(0.3)
    takes_over(live, "a", lambda: (lib / "words.lua").write_text('return { title = "first" }'))
    with live.connect("p0") as client:
        assert ask(client, "a") == "first"
        takes_over(live, "a", lambda: replace(lib / "words.lua", 'return { title = "second" }'))
        assert ask(client, "a") == "second"


def test_a_deleted_file_starts_nothing_and_its_threds_go_on(live):
    file = live.patterns / "a.lua"
    takes_over(live, "a", lambda: replace(file, pattern("A", "a", "one")))
    with live.connect("p0") as client:
        client.send({"type": "a"})
        thred = client.wait()["thredId"]
        file.unlink()
        until(lambda: live.admin("GET", "/api/patterns/a")[1]["status"] == "deleted", 2, "deleted")
        id = client.send({"type": "a"})
        assert until(lambda: live.admin("GET", f"/api/events/{id}")[1].get("outcome") == "no_pattern", 5)
        client.send({"type": "a.next", "thredId": thred})
        assert client.wait()["data"]["title"] == "one again"
        replace(file, pattern("A", "a", "one"))
        until(lambda: live.admin("GET", "/api/patterns/a")[1]["status"] == "active", 2, "active")
        assert ask(client, "a") == "one"


def test_the_whole_folder_is_replaced(live):
    replace(live.patterns / "a.lua", pattern("A", "a", "one"))
    until(lambda: version_of(live, "a"), 2)
    other = live.folder / "patterns.new"
    other.mkdir()
    (other / "a.lua").write_text(pattern("A", "a", "two"))

    def swap():
        os.rename(live.patterns, live.folder / "patterns.old")
        os.rename(other, live.patterns)

    with live.connect("p0") as client:
        takes_over(live, "a", swap)
        assert ask(client, "a") == "two"
        takes_over(live, "a", lambda: replace(live.patterns / "a.lua", pattern("A", "a", "three")))
        assert ask(client, "a") == "three"


def test_a_rollback_survives_a_restart(live):
    file = live.patterns / "a.lua"
    one = takes_over(live, "a", lambda: replace(file, pattern("A", "a", "one")))
    two = takes_over(live, "a", lambda: replace(file, pattern("A", "a", "two")))
    status, answer = live.admin("POST", "/api/patterns/a/rollback", {"version": one[:12]})
    assert status == 200 and answer == {"id": "a", "version": one, "before": two}
    live.kill()
    live.start()
    assert version_of(live, "a") == one
    assert any("save the file to make it active" in line["msg"] for line in live.log() if line["level"] == "warn")
    with live.connect("p0") as client:
        assert ask(client, "a") == "one"


def test_an_agent_file_is_reloaded(servers):
    server = servers()
    profile = server.folder / "run-profiles" / "mine"
    (profile / "agents").mkdir(parents=True)
    (profile / "profile.lua").write_text(
        'return { participants = { admin = { roles = { "admin" } }, ann = {} },'
        ' agents = { oracle = { id = "oracle1" } } }')
    file = profile / "agents" / "oracle.lua"

    def oracle(word):
        return f"""local agent = require "srvthreds.agent"
return agent.agent "org.oracle" {{ address = "oracle",
  tasks = {{ ask = function() return {{ word = "{word}" }} end }} }}"""

    (profile / "patterns").mkdir()
    (profile / "patterns" / "ask.lua").write_text("""local p = require "srvthreds.pattern"
return p.pattern "Ask" {
  p.reaction "ask" { p.where { type = "ask" } {
    on_true = function(event, thred) thred.who = event.source.id end,
    transform = { content = { tasks = { { name = "ask" } } } }, publish = "oracle" } },
  p.reaction "tell" { p.where { type = "org.oracle" } {
    transform = { title = function(event) return event:value "word" end },
    publish = function(event, thred) return thred.who end } },
}""")
    file.write_text(oracle("yes"))
    server.profile = "mine"
    server.start()
    with server.connect("ann") as client:
        assert ask(client, "ask") == "yes"
        file.write_text(oracle("no"))
        server.wait_log(lambda l: l["msg"] == "agent reloaded", 2)
        assert ask(client, "ask") == "no"
        file.write_text("return {")
        server.wait_log(lambda l: "the agent goes on as it was" in l["msg"], 2)
        assert ask(client, "ask") == "no"


def test_a_file_that_never_ends_loading_holds_up_nobody(live):
    with live.connect("p0") as client:
        client.send({"type": "echo"})
        thred = client.wait()["thredId"]
        replace(live.patterns / "a.lua", "while true do end")
        slowest, began, withheld = 0, time.monotonic(), live.withheld()
        while not any("a.lua can't be used" in line["msg"] for line in live.log()):
            sent = time.monotonic()
            client.send({"type": "echo", "thredId": thred})
            client.wait()
            slowest = max(slowest, time.monotonic() - sent)
            assert time.monotonic() - began < 5 + live.withheld() - withheld
        assert slowest < 0.3 + live.withheld() - withheld
        assert "SRV-P003" in live.admin("GET", "/api/patterns")[1]["problems"][0]["text"]


def test_saving_under_load_loses_nothing(live):
    file = live.patterns / "a.lua"
    takes_over(live, "a", lambda: replace(file, pattern("A", "a", "round 0")))
    with live.connect("p0") as client:
        sent = []
        for round in range(1, 6):
            replace(file, pattern("A", "a", f"round {round}"))
            until_then = time.monotonic() + 0.3
            while time.monotonic() < until_then:
                sent.append(client.send({"type": "a"}))
        until(lambda: len(client.events) == len(sent), 10, "an answer to each")
        titles = [event["data"]["title"] for event in client.events]
        assert titles == sorted(titles), "from one version to the next, never back"
        assert titles[-1] == "round 5" and len(set(titles)) >= 4
