# SPDX-License-Identifier: MIT
"""A real MongoDB server for tests, on a free port: mongod if there is one, else SecantusDB, which speaks the same
protocol, in a virtual environment that is made once beside the program under test.

    python3 tests/system/mongodb.py COMMAND ...       # runs it with SRVTHREDS_DOCDB_URL, and ends the server afterwards
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECANTUS = "SecantusDB==0.7.0b3"
BUILD = Path(os.environ.get("SRVTHREDS") or Path(__file__).parents[2] / "build" / "srvthreds").resolve().parent
LEFT_OUT = 77  # exit code: there is no server to be had


class Missing(Exception):
    """There is no MongoDB here, and none can be fetched."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def secantus():
    """The program, installed if it isn't there."""
    home = Path(os.environ.get("SRVTHREDS_SECANTUS") or BUILD / "secantus")
    program = home / "bin" / "secantusd-py"
    if program.exists():
        return program
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True, capture_output=True, timeout=120)
        subprocess.run([home / "bin" / "pip", "install", "-q", SECANTUS], check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(home, ignore_errors=True)  # a half-made one is never taken for a whole one
        why = getattr(error, "stderr", None) or error
        raise Missing(f"no mongod, and {SECANTUS} can't be installed: {why}") from error
    return program


class Mongo:
    """One server, in memory or in a folder of its own. `with Mongo() as mongo: mongo.url`."""

    def __init__(self, *arguments, port=None):
        self.port = port or free_port()
        self.arguments = arguments
        self.folder = Path(tempfile.mkdtemp(prefix="srvthreds-mongo-"))
        self.mongod = shutil.which("mongod")
        self.set_name = "rs" if self.mongod else "secantus"
        self.url = f"mongodb://127.0.0.1:{self.port}/?replicaSet={self.set_name}"
        self.process = None
        self.program = self.mongod or secantus()

    def start(self):
        if self.mongod:
            command = [self.mongod, "--replSet", "rs", "--dbpath", self.folder, "--bind_ip", "127.0.0.1",
                       "--setParameter", "enableTestCommands=1"]
        else:
            command = [self.program, "--storage-path", self.folder / "data", "--enable-test-commands",
                       "--sync-on-commit", "--log-level", "WARNING"]
        with (self.folder / "log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*command, "--port", str(self.port), *self.arguments], stdout=log,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the MongoDB server didn't start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def answers(self):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def main(command):
    try:
        mongo = Mongo()
    except Missing as error:
        print(f"SKIPPED {error}")
        return LEFT_OUT
    with mongo:
        known = {} if mongo.mongod else {"SRVTHREDS_SECANTUS_DIFFERS": "1"}
        environment = {**os.environ, "SRVTHREDS_DOCDB_URL": mongo.url, **known}
        return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
