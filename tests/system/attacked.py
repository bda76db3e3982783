# SPDX-License-Identifier: MIT
"""A server with a pattern that makes every mistake of tests/spec/attacks.lua, each under a type of its own, and its
neighbours' p99 beside a control: the same load without attacks, just before and just after."""
import json
import subprocess
from pathlib import Path

from harness import PROGRAM
from neighbours import Neighbours

ROOT = Path(__file__).parents[2]
PROFILES = Path(__file__).parent / "profiles"
OPTIONS = (f"--profiles={PROFILES}", "--pause-after=1000000")
P99_MS = 50  # more than the control is what an attack costs its neighbours

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


def begin_thred(server, name="p0"):
    _, answer = server.http("POST", "/event?wait=10s", {"type": "attack.begin"}, token=name)
    return answer["threds"][0]


def start(server):
    """The pattern is never paused. `server.attacks` are the attacks: number i has the type attack.i."""
    server.attacks = attacks()
    folder = server.folder / "patterns"
    folder.mkdir()
    lines = [PLACES[i % len(PLACES)] % (i, attack["code"]) for i, attack in enumerate(server.attacks)]
    (folder / "attacked.lua").write_text(HEAD % "\n".join(lines))
    server.start(f"--patterns={folder}")
    server.thred = begin_thred(server)
    return server


def control(server, total):
    """p99 in ms of neighbours whom nobody disturbs."""
    with Neighbours(server, total) as neighbours:
        pass
    return neighbours.p99()
