# SPDX-License-Identifier: MIT
"""100,000 live threds with timers in an existing store: from exec to the first step committed, and the memory then."""
import socket
import statistics
import sys
import time

from support.server import Server, say

THREDS, RUNS = 100_000, 5
BEGIN = '{"id":"%i","type":"wait.begin","data":{"content":{"values":{"place":"a place of some name"}}}}'


def fill(server):
    """Returns a few of the threds."""
    some = server.begin("wait.begin", 10)
    while True:
        missing = THREDS - server.post("/api/stats", None, "admin", "engine_port")["store"]["counts"]["active"]
        if missing <= 0:
            return some
        print(f"threds.py: {missing} threds to start", file=sys.stderr)
        server.load("ws", "-c", str(missing), "-w", "16", "-b", BEGIN)
        server.matched()


def first_step(server, thred, number):
    """Seconds from exec until a bound event is answered with its outcome, which is told when the step is durable."""
    begun = time.monotonic()
    server.start(wait=False)
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.ready["session_http_port"])).close()
            break
        except OSError:
            time.sleep(0.002)
    got = server.post("/event?wait=30s", {"id": f"first-{number}", "type": "wait.on", "thredId": thred})
    if got["outcome"] != "matched" or got["threds"] != [thred]:
        sys.exit(f"the first step came to {got}")
    return time.monotonic() - begun


def main():
    times, memory, ready = [], [], []
    with Server() as server:
        server.start()
        threds = fill(server)
        server.stop()
        size = sum(path.stat().st_size for path in (server.folder / "data").iterdir()) / 2**20
        for run in range(RUNS):
            times.append(first_step(server, threds[run], run))
            time.sleep(2)  # what is built in the background at a start is in it too
            memory.append(server.rss_mb())
            server.stop()
            ready.append(server.last_ready())
    notes = f"wait for an hour each; data {size:.0f} MB; the file is in the system's cache"
    say(f"{THREDS:,} threds with timers: exec to first step", "s", times, less=True, passes=5, aim=1,
        notes=f"{notes}; ready after {statistics.median(ready):.2f} s by its own count")
    say(f"{THREDS:,} threds with timers: resident memory", "MB", memory, less=True, passes=400, aim=200,
        notes="2 s after the first step")


if __name__ == "__main__":
    main()
