# SPDX-License-Identifier: MIT
"""What bench/steps.lua really wrote, read from its file while it is stopped: the sizes of its rows."""
import sqlite3


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
