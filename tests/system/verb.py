# SPDX-License-Identifier: MIT
"""A verb of the command line that goes on while the test does: `srvthreds join`, `watch`, `send` that waits."""
import os
import subprocess

from harness import PORTS, PROGRAM, clean_environment, until


def environment(server):
    address = {"SRVTHREDS_" + key.upper(): str(server.ready[key]) for key in PORTS}
    return clean_environment(server.folder, {"SRVTHREDS_DATA": str(server.data), **address})


class Verb:
    """A verb that goes on: its output in files, lines to its stdin."""

    def __init__(self, server, *arguments):
        self.out_path = server.folder / f"{arguments[0]}-{os.urandom(4).hex()}.out"
        self.talk_path = self.out_path.with_suffix(".talk")
        with open(self.out_path, "wb") as out, open(self.talk_path, "wb") as talk:
            self.process = subprocess.Popen([str(PROGRAM), *arguments], stdin=subprocess.PIPE, stdout=out, stderr=talk,
                                            cwd=server.folder, env=environment(server), text=True)

    def out(self):
        return self.out_path.read_text()

    def talk(self):
        return self.talk_path.read_text()

    def says(self, text, timeout=15):
        until(lambda: text in self.talk(), timeout, f"\"{text}\" in {self.talk()!r}")

    def shows(self, text, times=1, timeout=15):
        until(lambda: self.out().count(text) >= times, timeout, f"\"{text}\" in {self.out()!r}")

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, timeout=10):
        self.process.stdin.close()
        return self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
