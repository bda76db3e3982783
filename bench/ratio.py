# SPDX-License-Identifier: MIT
"""Durable steps through the whole engine against the same rows in bare SQLite: bench/steps.lua and `bench_store bare`
take turns. The engine stands still while the other writes rows and batches of the size that it just wrote itself."""
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.server import PROGRAM, say
from support.steps_file import sizes, steps_a_commit

RUNS, SECONDS = 5, 2
BUILD = os.path.dirname(PROGRAM)


class Bare:
    def __init__(self, folder):
        self.process = subprocess.Popen([f"{BUILD}/bench_store", "bare", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        # When this is answered it has filled its file.
        self.turn(0.1, 1, {"in": 1, "out": 1, "state": 1, "rec_in": 1, "rec_out": 1})

    def turn(self, seconds, batch, rows):
        numbers = [rows[name] for name in ("in", "out", "state", "rec_in", "rec_out")]
        self.process.stdin.write(" ".join(str(n) for n in (seconds, batch, *numbers)) + "\n")
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def engine_run(folder, bare):
    """One run of the engine with the other's turns between its measurements."""
    got = {}
    command = [f"{BUILD}/bench_lua", "bench/steps.lua", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine:
        for line in engine.stdout:
            row = json.loads(line)
            what = row["what"].removeprefix("one event at a time, accepted to committed, ").split("/")[0]
            if what not in ("durable steps", "p50"):
                continue
            engine.send_signal(signal.SIGSTOP)
            if what == "durable steps":
                file = str(next(Path(folder).glob("bench-steps-*/srvthreds.db")))
                got["rows"], got["batch"] = sizes(file), steps_a_commit(file)
                got["steps"] = statistics.median(row["samples"])
                got["bare"] = bare.turn(SECONDS, got["batch"], got["rows"])
            else:
                got["one"] = statistics.median(row["samples"])
                got["bare_one"] = bare.turn(SECONDS / 2, 1, got["rows"])
            engine.send_signal(signal.SIGCONT)
    if engine.returncode or "one" not in got:
        sys.exit(f"bench/steps.lua ended with {engine.returncode}; {sorted(got)}")
    return got


def main():
    with tempfile.TemporaryDirectory(prefix="bench-ratio-", dir=BUILD) as folder:
        bare = Bare(folder)
        runs = [engine_run(folder, bare) for _ in range(RUNS)]
        bare.close()
    last = runs[-1]
    rows, middle = last["rows"], lambda value: statistics.median(value(run) for run in runs)
    size = sum(rows[name] for name in ("in", "out", "state", "rec_in", "rec_out"))
    say("durable steps: whole engine / bare SQLite", "%", [r["steps"] / r["bare"]["per_second"] * 100 for r in runs],
        passes=60, aim=70,
        notes=f"{middle(lambda r: r['steps']):,.0f}/s against {middle(lambda r: r['bare']['per_second']):,.0f}/s; "
              f"batch {last['batch']}; {rows['rows']:.1f} rows and {size} bytes a step (in {rows['in']}, "
              f"out {rows['out']}, state {rows['state']}, records {rows['rec_in']} + {rows['rec_out']}); "
              f"the disk's commit p50 then {middle(lambda r: r['bare']['p50_ms']):.2f} ms")
    ratios = [r["one"] / r["bare_one"]["p50_ms"] for r in runs]
    say("one event at a time: whole engine / bare commit, p50", "times", ratios, less=True, passes=3, aim=2,
        notes=f"{middle(lambda r: r['one']):.3f} ms against {middle(lambda r: r['bare_one']['p50_ms']):.3f} ms")


if __name__ == "__main__":
    main()
