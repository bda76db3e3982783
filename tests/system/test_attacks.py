# SPDX-License-Identifier: MIT
"""Each attack of tests/spec/attacks.lua on a real server, among neighbours: its sender and the operator learn what it
exceeded, where and by how much; everybody else is served meanwhile; the process stays as it was."""
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import PROGRAM, load
from neighbours import Neighbours

ROOT = Path(__file__).parents[2]
PROFILES = Path(__file__).parent / "profiles"
ALONE = load(1000) == 1000  # no sanitizer

# Where an attack stands: each takes the next of these.
PLACES = [
    '  p.where { type = "attack.%d", when = function(event, thred)\n%s\n  end } { transition = "$noTransition" },',
    '  p.where { type = "attack.%d" } { transition = "$noTransition", on_true = function(event, thred)\n%s\n  end },',
    '  p.where { type = "attack.%d" } { transition = "$noTransition", publish = "$thred",'
    ' transform = { title = function(event, thred)\n%s\n  end } },',
    '  p.where { type = "attack.%d" } { transition = "$noTransition", transform = { title = "x" },'
    ' publish = function(event, thred)\n%s\n  end },',
]
HEAD = """local p = require "srvthreds.pattern"
return p.pattern "Attacked" {
  limits = { cpu = "50ms", memory = "4MB" },
  p.reaction "begin" { p.where { type = "attack.begin" } { on_true = function(_, thred) thred.n = 1 end } },
  p.reaction "attacked" { p.any {
%s
  } },
}
"""


def attacks():
    command = [str(PROGRAM.parent / "spec_runner"), "tests/system/attacks_as_json.lua"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout)


@pytest.fixture
def attacked(servers):
    """A server with a pattern of all attacks, which is never paused, and its thred."""
    server = servers(f"--profiles={PROFILES}", "--pause-after=1000000", profile="poison")
    server.attacks = attacks()
    folder = server.folder / "patterns"
    folder.mkdir()
    lines = [PLACES[i % len(PLACES)] % (i, attack["code"]) for i, attack in enumerate(server.attacks)]
    (folder / "attacked.lua").write_text(HEAD % "\n".join(lines))
    server.start(f"--patterns={folder}")
    _, answer = server.http("POST", "/event?wait=10s", {"type": "attack.begin"}, token="p0")
    server.thred, = answer["threds"]
    return server


def check(attack, error):
    what = f"{attack['name']}: {error}"
    assert "the script was ended: " in error["message"], what
    assert re.search(r"attacked\.lua:\d+: ", error["message"]), what
    assert re.search(r"\d+(\.\d+)? (ms|bytes|more bytes|calls)|more than \d+", error["message"]), what
    assert any(one in error["message"] for one in [*attack["says"], "CPU time"]), what


def test_attacks_among_neighbours(attacked):
    server, took = attacked, []
    _, before = server.admin("GET", f"/api/threds/{server.thred}")
    with server.connect("p0") as client, Neighbours(server, load(2000)) as neighbours:
        for i, attack in enumerate(server.attacks):
            begin = time.monotonic()
            sent = client.send({"type": f"attack.{i}", "thredId": server.thred})
            told = client.wait(lambda event, sent=sent: event.get("re") == sent)
            took.append((time.monotonic() - begin) * 1000)
            check(attack, told["data"]["content"]["error"])
    _, dead = server.admin("GET", "/api/dead?limit=1000")
    assert len(dead["items"]) == len(server.attacks)
    for letter in dead["items"]:
        assert (letter["pattern"], letter["reaction"]) == ("attacked", "attacked"), letter
        assert letter["error"]["file"].endswith("attacked.lua") and letter["error"]["line"] > 6, letter
        assert letter["error"]["kind"] in ("cpu", "memory", "stack", "wall"), letter
    _, after = server.admin("GET", f"/api/threds/{server.thred}")
    for same in ("reaction", "status", "locals", "step"):
        assert after.get(same) == before.get(same), (before, after)
    print(f"{len(took)} attacks, told after {max(took):.0f} ms at most; neighbours' p99 {neighbours.p99():.1f} ms")
    busy = os.getloadavg()[0] > os.cpu_count() + 1  # others than this test wait for the processors
    assert neighbours.p99() < (1000 if busy or not ALONE else 50)
