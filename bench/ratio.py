# SPDX-License-Identifier: MIT
"""Durable steps through the whole engine against the same rows in bare SQLite, which knows duplicates by an index:
bench/steps.lua and `bench_store bare` take turns, two seconds each. The engine stands still while the other writes
rows and batches of the size that it just wrote itself."""
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.server import PROGRAM, say
from support.steps_file import sizes

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


def paused(engine, turn):
    """The other side's turn, while the engine stands still."""
    engine.send_signal(signal.SIGSTOP)
    try:
        return turn()
    finally:
        engine.send_signal(signal.SIGCONT)


def measure(folder, bare):
    """A turn of the other side after each run of the engine: pairs that the disk and the machine treat alike."""
    pairs = {"steps": [], "one": []}
    got = {"batches": []}

    def turn(what, batch):
        if what == "one":
            return bare.turn(SECONDS / 2, 1, got["rows"])
        got["rows"] = sizes(str(next(Path(folder).glob("bench-steps-*/srvthreds.db"))))
        got["batches"].append(round(batch))
        return bare.turn(SECONDS, got["batches"][-1], got["rows"])

    command = [f"{BUILD}/bench_lua", "bench/steps.lua", folder, str(RUNS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as engine:
        for line in engine.stdout:
            row = json.loads(line)
            if "between" in row:
                what = row["between"]
                others = paused(engine, lambda: turn(what, row["batch"]))
                pairs[what].append((row["value"], others))
    if engine.returncode or len(pairs["one"]) != RUNS:
        sys.exit(f"bench/steps.lua ended with {engine.returncode}; {pairs}")
    return pairs, got


def middle(values):
    return statistics.median(values)


def main():
    with tempfile.TemporaryDirectory(prefix="bench-ratio-", dir=BUILD) as folder:
        bare = Bare(folder)
        pairs, got = measure(folder, bare)
        bare.close()
    rows, steps, one = got["rows"], pairs["steps"], pairs["one"]
    size = sum(rows[name] for name in ("in", "out", "state", "rec_in", "rec_out"))
    say("durable steps: whole engine / bare SQLite", "%", [e / b["per_second"] * 100 for e, b in steps],
        passes=60, aim=70,
        notes=f"{middle(e for e, _ in steps):,.0f}/s against {middle(b['per_second'] for _, b in steps):,.0f}/s; "
              f"batches of {middle(got['batches']):.0f}; {rows['rows']:.1f} rows and {size} bytes a step "
              f"(in {rows['in']}, out {rows['out']}, state {rows['state']}, "
              f"records {rows['rec_in']} + {rows['rec_out']}); "
              f"the disk's commit p50 then {middle(b['p50_ms'] for _, b in steps):.2f} ms")
    say("one event at a time: whole engine / bare commit, p50", "times", [e / b["p50_ms"] for e, b in one], less=True,
        passes=3, aim=2,
        notes=f"{middle(e for e, _ in one):.3f} ms against {middle(b['p50_ms'] for _, b in one):.3f} ms")


if __name__ == "__main__":
    main()
