# SPDX-License-Identifier: MIT
"""What bench/steps.lua really wrote, read from its file and log while it is stopped: sizes of rows, steps a commit."""
import sqlite3
import struct

PAGE, TABLE_LEAF = 4096, 13
RUN_KEYS = 1 << 40  # row ids of table run begin near there


def sizes(path):
    """Means over the last steps: bytes of the blobs of a row each, and how many rows a step has."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    one = lambda sql: db.execute(sql).fetchone()  # noqa: E731
    newest = one("select max(n) from event where outcome is not null and source > 0")[0]
    event = ("select count(*), avg(length(body)), avg(length(rec)) from event "
             f"where n between {newest - 4000} and {newest} and source")
    came, body_in, rec_in = one(f"{event} > 0")
    went, body_out, rec_out = one(f"{event} = 0")
    inbox = one(f"select count(*) from inbox where event between {newest - 4000} and {newest}")[0]
    state = one("select avg(length(state)) from thred")[0]
    db.close()
    numbers = {"in": body_in, "out": body_out, "state": state, "rec_in": rec_in or 0, "rec_out": rec_out or 0}
    return {**{name: round(value) for name, value in numbers.items()}, "rows": (came + went + inbox) / came + 1}


def _varint(data, at):
    value = 0
    for i in range(9):
        byte = data[at + i]
        if i == 8:
            return (value << 8) | byte, at + 9
        value = (value << 7) | (byte & 127)
        if byte < 128:
            return value, at + i + 1
    return None


def _newest_row(page):
    """The largest row id of a leaf of a table, else 0."""
    count = struct.unpack(">H", page[3:5])[0]
    if page[0] != TABLE_LEAF or not 0 < count < 1000:
        return 0
    at = struct.unpack(">H", page[6 + 2 * count:8 + 2 * count])[0]
    _, at = _varint(page, at)
    row = _varint(page, at)[0]
    return row if row < RUN_KEYS else 0


def steps_a_commit(path):
    """From the log: its commits, and how far the events' numbers (two a step) went on from the first to the last."""
    with open(path + "-wal", "rb") as log:
        salt = log.read(32)[16:24]
        commits, newest, first = 0, 0, 0
        while len(head := log.read(24)) == 24 and head[8:16] == salt:
            newest = max(newest, _newest_row(log.read(PAGE)))
            if head[4:8] != b"\0\0\0\0":
                commits += 1
                first = first or newest
    return max(1, round((newest - first) / 2 / max(1, commits - 1)))
