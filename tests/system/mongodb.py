# SPDX-License-Identifier: MIT
"""A real MongoDB server for tests, on a free port: mongod if there is one, else SecantusDB, which speaks the same
protocol, in a virtual environment that is made once beside the program under test.

    python3 tests/system/mongodb.py COMMAND ...       # runs it with SRVTHREDS_DOCDB_URL, and ends the server afterwards
"""
import os
import shutil
import socket
import struct
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


def encode(document):
    """BSON of what commands are made of: text, whole numbers, truth values, lists and objects."""
    out = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            out += b"\x08" + key + (b"\1" if value else b"\0")
        elif isinstance(value, int):
            out += b"\x10" + key + struct.pack("<i", value)
        elif isinstance(value, str):
            out += b"\x02" + key + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        elif isinstance(value, list):
            out += b"\x04" + key + encode({str(at): one for at, one in enumerate(value)})
        else:
            out += b"\x03" + key + encode(value)
    return struct.pack("<i", len(out) + 5) + out + b"\0"


class Mongo:
    """One server, in memory or in a folder of its own. `with Mongo() as mongo: mongo.url`."""

    def __init__(self, *arguments, port=None):
        self.port = port or free_port()
        self.arguments = arguments
        self.folder = Path(tempfile.mkdtemp(prefix="srvthreds-mongo-"))
        self.mongod = shutil.which("mongod")
        self.set_name = "rs" if self.mongod else "secantus"
        self.url = f"mongodb://127.0.0.1:{self.port}/?replicaSet={self.set_name}"
        self.process, self.initiated = None, False
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
        while not (self.is_primary() if self.mongod else self.answers()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the MongoDB server didn't start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def answers(self):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def command(self, **command):
        """Sends an admin command, and returns its reply's bytes; there may be no client library here."""
        body = struct.pack("<ib", 0, 0) + encode({**command, "$db": "admin"})
        with socket.create_connection(("127.0.0.1", self.port), 10) as s, s.makefile("rb") as reader:
            s.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
            size = reader.read(4)
            if len(size) < 4:
                raise ConnectionError("the MongoDB server closed the connection")
            return reader.read(struct.unpack("<i", size)[0] - 4)

    def do(self, **command):
        reply = self.command(**command)
        assert b"\x01ok\0" + struct.pack("<d", 1) in reply, reply

    def is_primary(self):
        """A mongod is told once, when it first answers, that it is a set of its own."""
        try:
            if self.mongod and not self.initiated:
                member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                self.do(replSetInitiate={"_id": self.set_name, "members": [member]})
                self.initiated = True
            return b"\x08isWritablePrimary\0\1" in self.command(hello=1)
        except OSError:
            return False

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
