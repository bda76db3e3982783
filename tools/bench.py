#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev bench [NAME…]: runs build/bench_* and bench/*.py, keeps what they say in bench-results/, shows a table.

A benchmark is bench/NAME.c (built as build/bench_NAME), bench/NAME.lua (run by build/bench_lua) or bench/NAME.py
(environment: SRVTHREDS = the program). It
prints JSON lines on stdout, one a measurement; its talk goes to stderr. It measures several times itself, usually 5:
  {"what": "durable steps/s", "unit": "1/s", "samples": [41000, 40100, …], "pass": 20000, "aim": 40000}
  "less": true      smaller is better (a time, a size); "pass" and "aim" may be absent; "notes": "batch 256, 481 B in …"
Exits with 1 if a benchmark fails or a median misses its pass mark.
"""
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path


def found(build, names):
    programs = {path.stem: [f"{build}/bench_{path.stem}"] for path in Path("bench").glob("*.c")
                if path.stem not in ("lua", "load")}
    programs |= {path.stem: [f"{build}/bench_lua", str(path)] for path in Path("bench").glob("*.lua")}
    programs |= {path.stem: [sys.executable, str(path)] for path in Path("bench").glob("*.py")}
    unknown = [name for name in names if name not in programs]
    if unknown:
        sys.exit(f"dev: no benchmark \"{unknown[0]}\"; there are: {' '.join(sorted(programs)) or 'none'}")
    return {name: programs[name] for name in names or sorted(programs)}


def machine():
    cores = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cores if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    busy = os.getloadavg()[0]
    return (f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, Linux {platform.release()}. "
            f"The load generator shares these cores with the program; load average at the start {busy:.1f}"
            + (" (others are at work)" if busy > 0.5 else ""))


def revision():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip()


def measure(name, command, build):
    environment = dict(os.environ, SRVTHREDS=os.path.abspath(f"{build}/srvthreds"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            try:
                row = json.loads(line)
            except ValueError:
                print(line, end="", file=sys.stderr)
                continue
            yield {"bench": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
    if process.returncode:
        yield {"bench": name, "what": f"failed with {process.returncode}", "unit": "", "samples": []}


def verdict(row):
    if not row["samples"]:
        return "FAILED"
    middle = statistics.median(row["samples"])
    met = lambda mark: middle <= mark if row.get("less") else middle >= mark  # noqa: E731
    if "pass" in row and not met(row["pass"]):
        return "below"
    return "aim" if "aim" in row and met(row["aim"]) else "pass" if "pass" in row else ""


def number(value):
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def show(row):
    samples = row["samples"]
    columns = [number(statistics.median(samples)), number(min(samples))] if samples else ["", ""]
    columns += [number(row.get("pass")), number(row.get("aim"))]
    print(f"{row['what'][:58]:58}" + "".join(f"{text:>11}" for text in columns) + f"  {row['unit']:6} {verdict(row)}")
    if row.get("notes"):
        print(f"    {row['notes']}")
    sys.stdout.flush()


def main():
    build, names = sys.argv[1], sys.argv[2:]
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    about = {"revision": revision(), "machine": machine()}
    print(about["machine"])
    print(f"{'what':58}" + "".join(f"{title:>11}" for title in ("median", "min", "pass", "aim")) + "  unit")
    bad = False
    for name, command in found(build, names).items():
        with open(results / f"{name}.jsonl", "a", encoding="utf-8") as out:
            for row in measure(name, command, build):
                out.write(json.dumps({**row, **about}) + "\n")
                show(row)
                bad = bad or verdict(row) in ("FAILED", "below")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
