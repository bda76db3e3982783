# SPDX-License-Identifier: MIT
"""An unbound event with 10,000 loaded patterns whose first conditions are declared, of which one matches, against 10:
through the engine, from its acceptance to the thred's first step. Two processes take turns: each has its own heap."""
import os
import statistics
import subprocess
from pathlib import Path

from support.server import PROGRAM, say

FEW, MANY, RUNS, ROUNDS, EVENTS = 10, 10_000, 5, 15, 300
SIDE = str(Path(__file__).resolve().parent / "support" / "patterns.lua")


def side(count):
    command = [os.path.join(os.path.dirname(PROGRAM), "bench_lua"), SIDE, str(count), str(EVENTS)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def turn(process):
    process.stdin.write("\n")
    return float(process.stdout.readline())


def main():
    ratios, times = [], []
    with side(FEW) as few, side(MANY) as many:
        turn(few)
        turn(many)
        for _ in range(RUNS):
            pairs = [(turn(few), turn(many)) for _ in range(ROUNDS)]
            ratios.append(sum(b for _, b in pairs) / sum(a for a, _ in pairs))
            times.append(sum(a for a, _ in pairs) / (ROUNDS * EVENTS) * 1e6)
    say(f"unbound event, {MANY:,} patterns against {FEW}", "times", ratios, less=True, passes=2, aim=1.2,
        notes=f"accepted to first step done, {statistics.median(times):.0f} us with {FEW}; conditions on type, "
              f"type and source, type and value; store in memory; turns of {EVENTS} events")


if __name__ == "__main__":
    main()
