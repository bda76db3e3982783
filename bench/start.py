# SPDX-License-Identifier: MIT
"""exec to ready on data that exists, and the memory of the idle program."""
import time

from support.server import Server, say

RUNS = 5


def main():
    times, memory = [], []
    with Server() as server:
        server.start()
        threds = ",".join(server.begin("count.begin", 1000))
        server.load("http", "-c", "20000", "-x", threds,
                    "-b", '{"id":"%i","type":"count","thredId":"%x","data":{"content":{"values":{"by":1}}}}')
        server.stop()
        for _ in range(RUNS):
            times.append(server.start())
            time.sleep(5)  # a start's own garbage is part of it, but not what a moment later is gone
            memory.append(server.rss_mb())
            server.stop()
    notes = "3 patterns, 65 participants, 1,000 threds, 20,000 events"
    say("exec to ready, existing data", "s", times, less=True, passes=1, aim=0.3, notes=notes)
    say("idle: resident memory", "MB", memory, less=True, passes=40, aim=20, notes="5 s after ready")


if __name__ == "__main__":
    main()
