# SPDX-License-Identifier: MIT
"""What the README and docs/ show is run: commands in order in one folder, files as they are shown, Lua loaded, and what
is printed compared with the text block behind it ("…" stands for anything; each line must appear, in order).

Comments say what a block can't:  <!-- file: PATH -->  the next block is saved there     <!-- exit: N -->  how it ends
<!-- type WHO: TEXT -->  typed at WHO's `join`     <!-- shows: WHO -->  the next text is on WHO's screen
<!-- not run -->
"""
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from harness import PROGRAM, clean_environment, until

ROOT = Path(__file__).parents[2]
PART = re.compile(r"<!-- (?P<note>.*?) -->|^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
ID = re.compile(r"\b[0-9a-f]{32}\b")
DEAD = re.compile(r"^ *(\d+) +\d{4}-\d\d-\d\d ", re.M)


def parts(path):
    """[(line, kind, text, notes)]: the blocks of a page, each with the notes before it; a `type` is one by itself."""
    page, found, notes = path.read_text(), [], {}
    for match in PART.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        if match["note"]:
            name, _, value = match["note"].partition(":")
            if name.startswith("type "):
                found.append((line, "type", (name[5:], value.strip()), {}))
            else:
                notes[name] = value.strip()
            continue
        found.append((line, match["kind"], match["text"], notes))
        notes = {}
    return found


def holds(text, expected):
    """Do all lines of `expected` appear in `text`, in order?"""
    at = 0
    for line in expected.splitlines():
        pattern = ".*?".join(re.escape(part) for part in re.split("…", re.sub(r"\s+", " ", line.strip())))
        found = re.compile(pattern.replace(r"\ ", " ")).search(text, at)
        if not found:
            return False
        at = found.end()
    return True


def squeeze(text):
    return re.sub(r"[ \t]+", " ", text)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Reader:
    """Somebody who does what a page says."""

    def __init__(self, folder):
        self.folder, self.cwd, self.last_id, self.last_dead = folder, folder, "", ""
        self.running, self.joined = [], {}
        engine, session, self.http = free_ports(3)
        (folder / "build").symlink_to(PROGRAM.parent)
        self.env = clean_environment(folder, {
            "SRVTHREDS_ENGINE_PORT": str(engine), "SRVTHREDS_SESSION_PORT": str(session),
            "SRVTHREDS_SESSION_HTTP_PORT": str(self.http), "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"})

    def start(self, command, name):
        """A command that goes on, in a terminal of its own."""
        path = self.folder / f"{name}.out"
        with open(path, "wb") as out:
            process = subprocess.Popen(["bash", "-c", "exec " + command], cwd=self.cwd, env=self.env,
                                       stdin=subprocess.PIPE, stdout=out, stderr=out, text=True)
        self.running.append(process)
        return process, path

    def serve(self, command):
        process, path = self.start(command, "server")
        def ready():
            assert process.poll() is None, path.read_text()
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/health/ready", timeout=1).status == 200
            except OSError:
                return False
        until(ready, 30, "the server")
        self.server_log = path

    def sh(self, text, notes):
        text = re.sub(r"\b(dead \w+) ID\b", rf"\1 {self.last_dead}", text)
        text = re.sub(r"\bID\b", self.last_id, text)
        who = re.findall(r"(?m)^(\S*srvthreds join (\w+))\n", text)
        if who and len(who) == text.count("\n"):
            for command, name in who:
                self.joined[name] = self.start(command, name)
                self.show = self.joined[name][1].read_text
                until(lambda: f"You are {name}." in self.show(), 15)
        elif re.fullmatch(r"\S*srvthreds dev\b[^\n]*\n", text):
            self.serve(text.strip())
        else:
            done = subprocess.run(["bash", "-c", f"set -e\n{text}\npwd >'{self.folder}/pwd'"], cwd=self.cwd,
                                  env=self.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
            output = done.stdout + done.stderr
            assert done.returncode == int(notes.get("exit", 0)), f"{text}\n{output}"
            if done.returncode == 0:
                self.cwd = Path((self.folder / "pwd").read_text().strip())
            self.show = lambda: output
            self.last_id = (ID.findall(output) or [self.last_id])[-1]
            self.last_dead = (DEAD.findall(output) or [self.last_dead])[-1]

    def file(self, path, text):
        (self.cwd / path).parent.mkdir(parents=True, exist_ok=True)
        (self.cwd / path).write_text(text)
        self.check(text)
        time.sleep(1)  # as the page promises: within a second it runs

    def check(self, text):
        """Lua by what it is: a pattern, an agent, parts of a pattern, or a table."""
        path = self.folder / "snippet" / f"s{time.monotonic_ns()}.lua"
        path.parent.mkdir(exist_ok=True)
        if "return agent.agent" in text or re.match(r"(--[^\n]*\n)*return \{", text):
            path.write_text(text)
            done = subprocess.run(["luac5.4", "-p", str(path)], capture_output=True, text=True)
        else:
            if "return p.pattern" not in text:
                if not re.search(r"^p\.reaction", text, re.M):
                    text = 'p.reaction "r" {\n' + text + "\n}"
                text = 'return p.pattern "Snippet" {\n' + text + "\n}"
            if "require" not in text:
                text = 'local p = require "srvthreds.pattern"\n' + text
            path.write_text(text)
            done = subprocess.run([str(PROGRAM), "check", str(path)], capture_output=True, text=True, env=self.env,
                                  cwd=self.folder)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"

    def follow(self, page):
        for line, kind, text, notes in parts(page):
            try:
                self.part(kind, text, notes)
            except AssertionError as error:
                raise AssertionError(f"{page.name}:{line}: {error}") from None

    def part(self, kind, text, notes):
        if "not run" in notes:
            return
        if kind == "type":
            process = self.joined[text[0]][0]
            process.stdin.write(text[1] + "\n")
            process.stdin.flush()
        elif kind == "sh":
            self.sh(text, notes)
        elif kind == "lua" and "file" in notes:
            self.file(notes["file"], text)
        elif kind == "lua":
            self.check(text)
        elif kind == "text":
            path = self.joined[notes["shows"]][1] if "shows" in notes else None
            show = path.read_text if path else self.show
            what = f"\n{text}\nin\n{show()}"
            until(lambda: holds(squeeze(show()), text), 15 if path else 3, what)

    def close(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()


@pytest.fixture
def reader(tmp_path):
    one = Reader(tmp_path)
    yield one
    one.close()


def test_the_tutorial(reader):
    reader.follow(ROOT / "docs" / "tutorial.md")


@pytest.mark.parametrize("page", ["README.md", "docs/clients.md", "docs/agents.md"])
def test_pages_on_a_server_of_ef_detection(reader, page):
    if not (ROOT / page).exists():
        pytest.skip("not written")
    profiles = reader.folder / "run-profiles"
    subprocess.run(["cp", "-r", str(ROOT / "run-profiles"), str(profiles)], check=True)
    reader.env["SRVTHREDS_SESSION_HTTP_PORT"] = str(reader.http)
    reader.serve("srvthreds dev ef-detection")
    text = (ROOT / page).read_text().replace("127.0.0.1:3001", f"127.0.0.1:{reader.http}")
    copy = reader.folder / Path(page).name
    copy.write_text(text)
    reader.follow(copy)


@pytest.mark.parametrize("page", ["docs/patterns.md", "docs/profiles.md", "docs/configuration.md"])
def test_the_lua_of_references_loads(reader, page):
    if not (ROOT / page).exists():
        pytest.skip("not written")
    count = 0
    for line, kind, text, notes in parts(ROOT / page):
        if kind == "lua" and "not run" not in notes:
            count += 1
            try:
                reader.check(text)
            except AssertionError as error:
                raise AssertionError(f"{page}:{line}: {error}") from None
    assert count > 0


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_errors_page_is_current(tmp_path):
    done = subprocess.run([str(PROGRAM), "explain", "docs"], capture_output=True, text=True, cwd=tmp_path,
                          env=clean_environment(tmp_path, {}), check=True)
    assert (ROOT / "docs" / "errors.md").read_text() == done.stdout, "srvthreds explain docs > docs/errors.md"
