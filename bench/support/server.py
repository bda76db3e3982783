# SPDX-License-Identifier: MIT
"""The program as a benchmark starts it: the profile `bench`, free ports, its data in a folder of its own in build/."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PROGRAM = os.environ.get("SRVTHREDS", os.path.abspath("build/srvthreds"))
LOAD = os.path.join(os.path.dirname(PROGRAM), "bench_load")
PROFILES = Path(__file__).resolve().parents[1] / "profiles"
PORTS = ("engine_port", "session_port", "session_http_port")
CLIENTS = 64
TOKENS = ",".join(f"p{i}" for i in range(CLIENTS))


def say(what, unit, samples, **more):
    """One measurement, as tools/bench.py takes it. `pass` is a word of Python: say(…, passes=)."""
    if "passes" in more:
        more["pass"] = more.pop("passes")
    print(json.dumps({"what": what, "unit": unit, "samples": samples, **more}), flush=True)


class Server:
    """with Server() as server: … Its folder goes at the end."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=os.path.dirname(PROGRAM)))
        self.process, self.ready, self.log, self.reader = None, {}, [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.reader.join()
        shutil.rmtree(self.folder)

    def start(self, wait=True):
        """Returns when it is ready; the seconds that it took from exec. A restart takes the same ports."""
        ports = [f"--{key.replace('_', '-')}={self.ready.get(key, 0)}" for key in PORTS]
        env = {name: value for name, value in os.environ.items() if not name.startswith("SRVTHREDS")}
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [PROGRAM, "dev", "bench", f"--profiles={PROFILES}", f"--data={self.folder}/data", "--log-format=json",
             "--log-level=warn,service=info", *ports],
            cwd=self.folder, env={**env, "HOME": str(self.folder)}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.is_ready = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait and not (self.is_ready.wait(60) and self.process.poll() is None):
            sys.exit("the server did not start:\n" + "".join(self.log[-20:]))
        return time.monotonic() - begun

    def _read(self):
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace")
            self.log.append(line)
            if '"msg":"ready"' in line:
                self.ready = {key: value for key, value in json.loads(line).items() if key in PORTS}
                self.is_ready.set()
        self.is_ready.set()

    def last_ready(self):
        """The seconds that the program itself says it took, without its loading."""
        return json.loads(next(line for line in reversed(self.log) if '"msg":"ready"' in line))["duration_s"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.reader.join()
        self.process.stderr.close()
        self.process = None
        if status:
            sys.exit(f"the server ended with {status}:\n" + "".join(self.log[-20:]))

    def rss_mb(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def post(self, path, event, token="p0", port="session_http_port"):
        connection = http.client.HTTPConnection("127.0.0.1", self.ready[port], timeout=60)
        try:
            connection.request("POST" if event is not None else "GET", path,
                               None if event is None else json.dumps(event), {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                sys.exit(f"{path}: {answer.status} {text[:500]}")
            return json.loads(text)
        finally:
            connection.close()

    def begin(self, kind, count):
        """Starts `count` threds; their ids."""
        return [thred for i in range(count)
                for thred in self.post("/event?wait=30s", {"id": f"{kind}-{i}", "type": kind})["threds"]]

    def processed(self):
        return self.post("/api/stats", None, "admin", "engine_port")["processed"]["outcomes"]

    def matched(self, at_least=0, timeout=60):
        """How many events have matched, once there are that many (or the time is over) and nothing is under way."""
        end, last = time.monotonic() + timeout, -1
        while True:
            count = self.processed().get("matched", 0)
            if count == last and (count >= at_least or time.monotonic() > end):
                return count
            last = count
            time.sleep(0.05)

    def load(self, mode, *options, seconds=None):
        """One run of bench_load from all clients; what it reports."""
        port = self.ready["session_port" if mode == "ws" else "session_http_port"]
        path = "/ws" if mode == "ws" else "/event"
        command = [LOAD, mode, f"127.0.0.1:{port}", path, "-n", str(CLIENTS), "-t", TOKENS, *options]
        if seconds:
            command += ["-s", str(seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"bench_load ended with {done.returncode}: {done.stdout}\n" + "".join(self.log[-20:]))
        return json.loads(done.stdout)
