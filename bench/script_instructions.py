# SPDX-License-Identifier: MIT
"""The figures of bench/script.c that nothing else on the machine can change: instructions of our side over those of
stock Lua, counted by callgrind (package valgrind; without it there are none), each the difference of six turns and
one."""
import re
import shutil
import subprocess
import sys

from support.server import PROGRAM, say

BENCH = PROGRAM.rpartition("/")[0] + "/bench_script"
METERED = ("loop", "calls", "tables", "closures", "texts")
FUNCTIONS = ("find", "plain", "match", "gsub", "gmatch", "format", "concat", "rep", "byte", "pack", "unpack", "insert",
             "utf8")


def counted(name, side, turns):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", BENCH, name, side, str(turns)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def instructions(name, side):
    return (counted(name, side, 6) - counted(name, side, 1)) / 5


def main():
    if not shutil.which("valgrind"):
        print("no valgrind here: instructions are not counted", file=sys.stderr)
        return
    for names, what, mark in ((METERED, "metered", 1.02), (FUNCTIONS, "function", 1.1)):
        for name in names:
            ours, stock = instructions(name, "ours"), instructions(name, "stock")
            say(f"{what}: {name}, instructions", "x stock", [ours / stock], less=True, passes=mark,
                notes=f"{ours:,.0f}, stock {stock:,.0f}")


if __name__ == "__main__":
    main()
