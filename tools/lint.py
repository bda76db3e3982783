#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev lint: what machines can say about the sources. Prints file:line: message; exits with 1 if there was any.

clang-tidy is the slow one: a file that passed is not asked again until it, a header it reaches or .clang-tidy changes.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rules import RULES, Source


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=True)
    return sorted({name for name in listed.stdout.decode().split("\0") if name and os.path.isfile(name)})


def own_rules(files):
    problems = []
    for path in files:
        try:
            source = Source(path, Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            problems.append(f"{path}: not text: a left-over? Sources are text, what is made is not kept")
            continue
        if source.lines:
            problems += [f"{path}:{line}: {message}" for rule in RULES for line, message in rule(source)]
    return problems


def run(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return f"{command[0]}: not installed; ./dev setup lint"
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or f"{command[0]} failed"


def tool(name, command, files):
    return run(command + files).splitlines() if files else []


def clang_format(files):
    text = run(["clang-format", "--style=file", "--dry-run", "-Werror"] + files) if files else ""
    found = [line.partition(": error: ")[0] for line in text.splitlines() if ": error: " in line]
    return [f"{place}: not formatted; ./dev fmt" for place in found] or text.splitlines()[:5]


def reached(path, seen):
    """The project's own headers that a C file includes, directly or not."""
    if path in seen or not os.path.isfile(path):
        return seen
    seen.add(path)
    for header in re.findall(r'^\s*#\s*include\s*"([^"]+)"', Path(path).read_text(encoding="utf-8"), re.M):
        for folder in ("core", os.path.dirname(path), "tests/unit"):
            reached(os.path.normpath(os.path.join(folder, header)), seen)
    return seen


def tidy_key(path):
    digest = hashlib.sha256(Path(".clang-tidy").read_bytes())
    for header in sorted(reached(path, set())):
        digest.update(header.encode() + Path(header).read_bytes())
    return digest.hexdigest()


LUA_FLAGS = subprocess.run(["pkg-config", "--cflags", "lua5.4"], capture_output=True, text=True).stdout.split()


ANALYZER = ("-*,clang-analyzer-*,-clang-analyzer-optin.performance.Padding,"
            "-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling")


def tidy_one(path, build, *options):
    extra = [f"--extra-arg={argument}" for argument in (*LUA_FLAGS, "-include", os.path.abspath("tools/tidy.h"))]
    text = run(["clang-tidy", "-p", build, "--quiet", *extra, *options, path])
    return [line for line in text.splitlines() if re.search(r": (error|warning): ", line)] or text.splitlines()[:5]


def clang_tidy(files, build, everything):
    stamps = Path(build, "lint")
    stamps.mkdir(parents=True, exist_ok=True)
    database = Path(build, "compile_commands.json")
    known = {entry["file"] for entry in json.loads(database.read_text())} if database.exists() else set()
    wanted = []
    for path in (path for path in files if os.path.abspath(path) in known):
        stamp = stamps / (path.replace("/", "-") + ".passed")
        key = tidy_key(path)
        if everything or not stamp.exists() or stamp.read_text() != key:
            wanted.append((path, stamp, key))
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (_, stamp, key), found in zip(wanted, pool.map(lambda item: tidy_one(item[0], build), wanted)):
            problems += found
            if not found:
                stamp.write_text(key)
    print(f"clang-tidy: {len(wanted)} of {len(files)} C files asked", file=sys.stderr)
    return problems


def analyze(files, build):
    """Advice: it is often wrong about lists and about what other files fill in, so it fails nothing."""
    options = (f"--checks={ANALYZER}", "--warnings-as-errors=-*")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda path: tidy_one(path, build, *options), files):
            print(*found, sep="\n", end="\n" if found else "")
    return 0


def main():
    build, everything = sys.argv[1], "--all" in sys.argv[2:]
    unknown = [word for word in sys.argv[2:] if word not in ("--all", "--analyze")]
    if unknown:
        print(f"dev: lint takes --all or --analyze, not {unknown[0]}", file=sys.stderr)
        return 2
    files = sources()
    if "--analyze" in sys.argv[2:]:
        return analyze([path for path in files if path.endswith(".c")], build)
    of_kind = lambda *ends: [path for path in files if path.endswith(ends)]  # noqa: E731
    shell = [path for path in files if path in ("dev", ".ci/run") or path.endswith(".sh")]
    checks = [
        ("rules", lambda: own_rules(files)),
        ("clang-format", lambda: clang_format(of_kind(".c", ".h"))),
        ("luacheck", lambda: tool("luacheck", ["luacheck", "--quiet", "--no-color"], of_kind(".lua", ".luacheckrc"))),
        ("shellcheck", lambda: tool("shellcheck", ["shellcheck", "-f", "gcc"], shell)),
        ("clang-tidy", lambda: clang_tidy(of_kind(".c"), build, everything)),
    ]
    total = 0
    for name, check in checks:
        start = time.monotonic()
        problems = list(dict.fromkeys(check()))  # what a header does wrong is found from each file
        total += len(problems)
        for problem in problems:
            print(problem)
        verdict = f"{len(problems)} problems" if problems else "clean"
        print(f"{name}: {verdict} ({time.monotonic() - start:.1f} s)", file=sys.stderr)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
