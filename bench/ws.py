# SPDX-License-Identifier: MIT
"""WebSocket: an event of one client becomes a message to another. 64 clients in a ring; each sends the next when one
has come to it. The time from client to client is taken by bench_load, which is all of them."""
import statistics

from support.server import CLIENTS, Server, say

THREDS, RUNS, SECONDS, WINDOW = 1000, 5, 3, 4
BODY = ('{"id":"%i","type":"relay","thredId":"%x","time":1790000000000,"data":{"title":"To pass on",'
        '"content":{"values":{"sent":"t=%n;","latitude":33.44841234,"longitude":-112.0740373,"battery":0.87}}}}')


def run(server, threds, window, seconds=SECONDS):
    before, cpu = server.matched(), server.cpu_s()
    got = server.load("ws", "-e", "-w", str(window), "-x", threds, "-b", BODY, seconds=seconds)
    count = server.matched(before + got["events"]) - before
    if not got["events"] <= count <= got["sent"]:
        raise SystemExit(f"{got['events']} of {got['sent']} events came through, {count} were processed")
    return {**got, "us": (server.cpu_s() - cpu) / count * 1e6}


def middle(runs, name):
    return statistics.median(r[name] for r in runs)


def quantiles(runs):
    return " ".join(f"{name} {middle(runs, name + '_ms'):.2f}" for name in ("p50", "p90", "p99")) + " ms"


def main():
    with Server() as server:
        server.start()
        threds = ",".join(server.begin("relay.begin", THREDS))
        run(server, threds, WINDOW, 1)
        got = [run(server, threds, WINDOW) for _ in range(RUNS)]
        slow = [run(server, threds, 1) for _ in range(RUNS)]
    say("WebSocket: event in, message out to another", "1/s", [r["per_second"] for r in got], passes=6000, aim=15000,
        notes=f"{CLIENTS} clients with {WINDOW} under way each, {THREDS} threds; transit {quantiles(got)}; "
              f"{middle(got, 'us'):.0f} us of the server's processor an event; bench_load shares the cores")
    say("WebSocket: transit with one under way each, p50", "ms", [r["p50_ms"] for r in slow], less=True,
        notes=f"{middle(slow, 'per_second'):,.0f}/s; {quantiles(slow)}")


if __name__ == "__main__":
    main()
