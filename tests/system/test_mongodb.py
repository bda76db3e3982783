# SPDX-License-Identifier: MIT
"""The persistence agent on a MongoDB server: one that is away is waited for, one that hangs holds nobody up, and
errors that it is told to give are tried again; nothing is written twice, kill -9 or not."""
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import load, until
from mongodb import Missing, Mongo
from test_docdb import (IN_DEBUG_BUILDS, KILL_POINTS, KILLS, PROFILES, SEED, answer, check, ends_at, events_of,
                        refused, script, scripts_of, somebody_stays, stamps_and_made_ids, store, task, write)


@pytest.fixture
def mongo():
    try:
        server = Mongo()
    except Missing as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def documents(servers, mongo):
    return servers(f"--profiles={PROFILES}", f"--docdb={mongo.url}", "--docdb-timeout=15s", profile="documents")


def fail_point(mongo, **data):
    """The server's next commands fail as told."""
    mode = {"times": data.pop("times", 1)}
    mongo.do(configureFailPoint="failCommand", mode=mode, data={"appName": "srvthreds", **data})


def count(client):
    """Adds one, in a transaction with a mark, and gives what is there then."""
    add = task("upsert", matcher={"id": "n"}, values={"$inc": {"n": 1}})
    client.send(store(f"count-{random.getrandbits(64)}", add))
    client.wait_title("stored", timeout=20)
    one, = answer(client, task("getOne", matcher={"id": "n"}))
    return one["n"]


def count_by_script(client):
    """The same by a script, which also reads what it wrote."""
    client.send(store(f"count-{random.getrandbits(64)}", script("count", seq=random.getrandbits(50))))
    one, = client.wait_title("stored", timeout=20)["data"]["content"]["values"]["result"]
    return one["counted"]


@pytest.mark.parametrize("data", [
    {"failCommands": ["update"], "errorCode": 11602, "times": 2},
    {"failCommands": ["update"], "errorCode": 112, "errorLabels": ["TransientTransactionError"], "times": 3},
    {"failCommands": ["update", "insert"], "closeConnection": True, "times": 2},
    {"failCommands": ["commitTransaction"], "errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"],
     "times": 3},
    {"failCommands": ["commitTransaction"], "closeConnection": True, "times": 4},
], ids=["away", "conflict", "cut", "unknown", "cut at commit"])
def test_what_fails_by_chance_is_done_once(documents, mongo, data):
    documents.start()
    with documents.connect("p0") as client:
        for way in (count, count_by_script):
            assert way(client) == 1
            fail_point(mongo, **data)
            assert way(client) == 2
            assert way(client) == 3


def test_scripts_that_are_in_each_others_way(documents):
    total = 24  # more than may hold a transaction at a time
    documents.start()
    assert not write(documents, scripts_of(total), total)
    check(documents, total)


@pytest.mark.parametrize("programs", [1, 2])
def test_scripts_come_one_after_another(servers, mongo, programs):
    all_of_them = [servers(f"--profiles={PROFILES}", f"--docdb={mongo.url}", profile="documents").start()
                   for _ in range(programs)]
    somebody_stays(all_of_them[0], all_of_them[-1])


def test_stamps_and_made_ids(documents):
    with documents.start().connect("p0") as client:
        stamps_and_made_ids(client)


def test_a_server_that_is_away_is_waited_for(documents, mongo):
    mongo.kill()
    documents.start()
    mongo.start()
    with documents.connect("p0") as client:
        assert count(client) == 1
        mongo.kill()
        client.send(store("late", task("upsert", matcher={"id": "n"}, values={"$inc": {"n": 1}})))
        mongo.start()
        client.wait_title("stored", timeout=20)
        assert count(client) == 3


@IN_DEBUG_BUILDS
@KILL_POINTS
def test_written_but_not_acknowledged(documents, point, made):
    ends_at(documents, point, made)


@pytest.mark.parametrize("made", [events_of, scripts_of])
def test_a_killed_program_goes_on_at_once_and_writes_nothing_twice(documents, made):
    """Its transactions would keep the counter for a minute; a request has 15 s, and none may end with an error."""
    total, rng = max(load(60), 4 * KILLS), random.Random(SEED)
    waiting, chunk = made(total), total // KILLS
    documents.start()
    for _ in range(KILLS):
        left = write(documents, waiting[:chunk], rng.randrange(1, chunk))
        waiting = left + waiting[chunk:]
        documents.kill()
        documents.start()
    assert not write(documents, waiting, len(waiting))
    check(documents, total)


ADD = task("upsert", matcher={"id": "n"}, values={"$inc": {"n": 1}})


def refused_within(seconds, server, client, asked):
    """The error, which must come in time."""
    begin, withheld = time.monotonic(), server.withheld()
    error = refused(client, asked)
    assert time.monotonic() - begin < seconds + server.withheld() - withheld, error
    assert error["code"] in (5000, 5200)
    return error["cause"]


def test_a_server_that_hangs_holds_nobody_up(servers, mongo):
    server = servers(f"--profiles={PROFILES}", f"--docdb={mongo.url}", "--docdb-timeout=1s", profile="documents")
    server.start()
    with server.connect("p0") as client:
        assert count(client) == 1
        mongo.process.send_signal(signal.SIGSTOP)
        refused_within(1.5, server, client, ADD)
        refused_within(1.5, server, client, ADD)
        mongo.process.send_signal(signal.SIGCONT)
        assert count(client) == 2


def test_closing_waits_for_no_server_that_hangs(documents, mongo):
    documents.start()
    with documents.connect("p0") as client:
        assert count(client) == 1
        mongo.process.send_signal(signal.SIGSTOP)
        client.send(store("late", ADD))
        begin, withheld = time.monotonic(), documents.withheld()
        assert documents.stop() == 0
        assert time.monotonic() - begin < 5 + documents.withheld() - withheld
    mongo.process.send_signal(signal.SIGCONT)
    documents.start()
    with documents.connect("p1") as client:
        until(lambda: answer(client, task("getOne", matcher={"id": "n"}))[0]["n"] == 2, 20, "what came late to be done")
        assert count(client) == 3


def test_a_regular_expression_that_explodes_ends(documents):
    documents.start()
    with documents.connect("p0") as client:
        assert answer(client, task("put", values={"id": "a", "text": "a" * 60 + "!"})) == ["a"]
        bad = task("getOne", matcher={"text": {"$re": "^(a+)+$"}})
        assert refused_within(1.1, documents, client, bad).startswith("4200 ")


def test_a_password(servers, mongo):
    if mongo.mongod:
        pytest.skip("mongod wants a key file for a replica set with logins")
    mongo.do(createUser="ann", pwd="s3cr/t:öne", roles=[{"role": "root", "db": "admin"}])
    mongo.kill()
    mongo.arguments = ("--auth",)
    mongo.start()
    url = mongo.url.replace("//", "//ann:{}@") + "&authSource=admin"

    def serve(password):
        return servers(f"--profiles={PROFILES}", f"--docdb={url.format(password)}", profile="documents").start()

    with serve("s3cr%2Ft%3A%C3%B6ne").connect("p0") as client:
        assert count(client) == 1
        assert count_by_script(client) == 1
    wrong = serve("s3cr%2Fx%3Awr0ng")
    with wrong.connect("p0") as client:
        error = refused(client, task("count", matcher={}))
    assert error["code"] == 5000
    assert "refuses the login" in json.dumps(error)
    for secret in ("s3cr", "wr0ng"):
        assert secret not in json.dumps(error)
        assert secret not in wrong.log_text()


def certificates(folder):
    """A certificate authority, and a server's certificate of it for 127.0.0.1; their files and the server's key."""
    folder.mkdir()
    authority, authority_key, server, key = (folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2"]
    subprocess.run([*make, "-subj", "/CN=tests", "-keyout", authority_key, "-out", authority], check=True,
                   capture_output=True, timeout=30)
    subprocess.run([*make, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-CA", authority,
                    "-CAkey", authority_key, "-keyout", key, "-out", server], check=True, capture_output=True,
                   timeout=30)
    return authority, server, key


def test_tls(servers, tmp_path):
    (authority, certificate, key), (other, _, _) = certificates(tmp_path / "good"), certificates(tmp_path / "other")
    try:
        mongo = Mongo("--tls-cert-file", certificate, "--tls-key-file", key)
    except Missing as error:
        pytest.skip(str(error))
    if mongo.mongod:
        pytest.skip("mongod names these options otherwise")
    with mongo:
        for file, good in ((authority, True), (other, False)):
            server = servers(f"--profiles={PROFILES}", f"--docdb={mongo.url}&tls=true&tlsCAFile={file}",
                             "--docdb-timeout=3s", profile="documents").start()
            with server.connect("p0") as client:
                if good:
                    assert count(client) == 1
                else:
                    error = refused(client, task("count", matcher={}))
                    assert "certificate" in json.dumps(error).lower()
