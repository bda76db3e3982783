#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Would the tests notice? Breaks the program in a copy of this tree, one small change after another, and runs the tests
that promise to see it. A change that none of them sees has survived: a test is missing, or can't fail.

    ./dev mutants [WORD…]      only those whose text holds every WORD; exit code 1 if one survived

The changes stand in tests/mutants/*.txt, some lines each, with an empty line between them:

    lua/srvthreds/engine/step.lua  spec/model_threds     the file, and the tests that see it (a pattern for ctest)
    # what is promised, which this breaks
    - a line of the file, or a part of one (it must be there just once)
    + what stands there instead; nothing: the line is gone

Several - lines, and several + lines, are lines in a row. The copy and its build stay in build-mutants, so that the next
run begins at once. Files of Lua need no compiling: about a second a change; those of C some more.
"""
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "build-mutants" / "tree"
BUILD = COPY / "build-debug"  # the faults are compiled in


class Mutant(NamedTuple):
    file: str
    tests: str
    promise: str
    old: str
    new: str
    place: str


def read(path):
    """The changes of one file."""
    mutants = []
    for block in re.finditer(r"(?:^[^\n]+(?:\n|\Z))+", path.read_text(), re.M):
        lines = block.group().splitlines()
        if all(line.startswith("#") for line in lines):
            continue
        file, tests = lines[0].split()
        parts = {"#": [], "-": [], "+": []}
        for line in lines[1:]:
            parts[line[0]].append(line[2:])
        line = path.read_text()[:block.start()].count("\n") + 1
        mutants.append(Mutant(file, tests, " ".join(parts["#"]), "\n".join(parts["-"]), "\n".join(parts["+"]),
                              f"{path.name}:{line}"))
    return mutants


def copy_tree():
    """What is tracked or new here, as it stands here; only what differs is written, so that little is compiled."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True).stdout.decode().split("\0")
    files = {name for name in listed if name and (ROOT / name).is_file()}
    for name in files:
        at = COPY / name
        if not at.exists() or at.read_bytes() != (ROOT / name).read_bytes():
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, at)
    for top in ("lua", "core", "tests"):
        for at in (COPY / top).rglob("*"):
            if at.is_file() and str(at.relative_to(COPY)) not in files and "__pycache__" not in at.parts:
                at.unlink()


def bounded():
    """A broken program may want all memory."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def run(*command, before=None):
    return subprocess.run(command, cwd=COPY, capture_output=True, text=True, errors="replace", preexec_fn=before)


def build():
    return run("ninja", "-C", str(BUILD))


def prepare():
    copy_tree()
    if not (BUILD / "build.ninja").exists():
        done = run("cmake", "--preset", "debug", "-DSRVTHREDS_WERROR=OFF")
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    done = build()
    if done.returncode:
        sys.exit(done.stdout[-3000:])


def test(tests):
    return run("ctest", "--test-dir", str(BUILD), "-j", "2", "--stop-on-failure", "--no-tests=error", "--timeout",
               "300" if "system" in tests else "60", "-R", tests, before=bounded)


def failed_tests(text):
    return re.findall(r"^\s*\d+ - (\S+) \(", text, re.M)


def judge(mutant):
    """What became of it: "seen by …", "SURVIVED", or why it can't be tried."""
    path = COPY / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f"STALE: its lines are there {text.count(mutant.old)} times"
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        if mutant.file.startswith("core/") and build().returncode:
            return "STALE: it doesn't compile"
        done = test(mutant.tests)
        if done.returncode == 0:
            return "SURVIVED"
        seen = ", ".join(failed_tests(done.stdout))
        return f"seen by {seen}" if seen else "STALE: no such test"
    finally:
        path.write_text(text)
        if mutant.file.startswith("core/"):
            build()


def passes(tests):
    """Unbroken, they must pass; otherwise nothing is proved."""
    return {pattern for pattern in sorted(tests) if test(pattern).returncode == 0}


def main(words):
    mutants = [m for path in sorted((ROOT / "tests" / "mutants").glob("*.txt")) for m in read(path)
               if all(word in " ".join(m) for word in words)]
    prepare()
    sound = passes({m.tests for m in mutants})
    count = {"seen": 0, "SURVIVED": 0, "STALE": 0}
    for m in mutants:
        begin = time.monotonic()
        verdict = judge(m) if m.tests in sound else "STALE: its tests fail without it"
        count[re.match(r"\w+", verdict).group()] += 1
        took = time.monotonic() - begin
        print(f"{verdict:40} {m.place:22} {took:4.1f} s  {m.file.split('/')[-1]}: {m.promise}", flush=True)
    print(f"{count['seen']} seen, {count['SURVIVED']} survived, {count['STALE']} stale")
    return 1 if count["SURVIVED"] + count["STALE"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
