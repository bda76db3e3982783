# SPDX-License-Identifier: MIT
"""POST /event over keep-alive HTTP, 64 connections, each posts the next when it has its 200: the event is durable. The
events are bound to threds that count them, and are processed as they come; afterwards all of them must have been."""
import statistics

from support.server import Server, say

THREDS, RUNS, SECONDS = 1000, 5, 3
BODY = ('{"id":"%i","type":"count","thredId":"%x","time":1790000000000,"data":{"title":"One more",'
        '"content":{"values":{"by":1,"latitude":33.44841234,"longitude":-112.0740373,"battery":0.87}}}}')


def main():
    rates, processor, quantiles = [], [], {"p50_ms": [], "p90_ms": [], "p99_ms": []}
    with Server() as server:
        server.start()
        threds = ",".join(server.begin("count.begin", THREDS))
        server.load("http", "-x", threds, "-b", BODY, seconds=1)
        for _ in range(RUNS):
            before, cpu = server.matched(), server.cpu_s()
            got = server.load("http", "-x", threds, "-b", BODY, seconds=SECONDS)
            # What was under way when the time was over may have been accepted too.
            count = server.matched(before + got["done"]) - before
            if not got["done"] <= count <= got["sent"]:
                raise SystemExit(f"{got['done']} of {got['sent']} events were accepted, {count} were processed")
            rates.append(got["per_second"])
            processor.append((server.cpu_s() - cpu) / count * 1e6)
            for name, values in quantiles.items():
                values.append(got[name])
    p50, p90, p99 = (statistics.median(values) for values in quantiles.values())
    say("POST /event, durable", "1/s", rates, passes=6000, aim=15000,
        notes=f"64 connections, {THREDS} threds, all processed; p50 {p50:.2f} p90 {p90:.2f} p99 {p99:.2f} ms; "
              f"{statistics.median(processor):.0f} us of the server's processor an event; bench_load shares the cores")
    say("POST /event, durable, p99", "ms", quantiles["p99_ms"], less=True)


if __name__ == "__main__":
    main()
