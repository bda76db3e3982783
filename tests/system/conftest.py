# SPDX-License-Identifier: MIT
"""Fixtures of the system tests. A failing test prints the logs of its servers."""
import pytest

from harness import PROGRAM, Server
from verb import Verb

LOG_SHOWN = 20000  # characters of a log's end


def pytest_collection_modifyitems(items):
    if not PROGRAM.exists():
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"{PROGRAM} is not built"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for server in getattr(item, "servers", []):
            report.sections.append((f"log of {server.folder.name}", server.log_text()[-LOG_SHOWN:]))


@pytest.fixture
def servers(request, tmp_path):
    """servers(*arguments, profile=, env=): another server that has not been started yet."""
    made = request.node.servers = []

    def make(*arguments, **options):
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        made.append(Server(folder, *arguments, **options))
        return made[-1]

    yield make
    failures = []
    for server in made:
        try:
            server.close()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture
def server(servers):
    """One server with the ef-detection profile, ready."""
    return servers().start()


@pytest.fixture
def verb():
    """verb(server, "join", "participant0"): a process of its own, ended with the test."""
    made = []

    def make(server, *arguments):
        made.append(Verb(server, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()
