# SPDX-License-Identifier: MIT
"""What ./dev installs: with programs of our own in the place of dpkg-query, apt-get and apt-cache."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DPKG = 'shift 2; for p; do case " $MISSING " in *" $p "*) ;; *) echo "installed $p" ;; esac; done'
APT = 'echo "$@" >>"$CALLS"; if [ "$1" = install ]; then exit ${INSTALL:-0}; fi'
CACHE = 'shift; for p; do case " $UNKNOWN " in *" $p "*) ;; *) printf "%s:\\n  Candidate: 1.0\\n" "$p" ;; esac; done'


@pytest.fixture
def setup(tmp_path):
    """setup(missing, unknown, …): what `./dev setup build` printed and ended with, and how apt-get was called."""
    for name, text in (("dpkg-query", DPKG), ("apt-get", APT), ("apt-cache", CACHE), ("sudo", 'exec "$@"')):
        (tmp_path / name).write_text("#!/bin/sh\n" + text + "\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "debian_Packages").touch()
    calls = tmp_path / "calls"

    def run(missing="", unknown="", lists=tmp_path, install="0"):
        calls.write_text("")
        env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "MISSING": missing, "UNKNOWN": unknown, "CI": "true",
               "CALLS": str(calls), "APT_LISTS": str(lists), "INSTALL": install}
        done = subprocess.run([ROOT / "dev", "setup", "build"], env=env, capture_output=True, text=True, timeout=20)
        return done, calls.read_text()
    return run


def test_nothing_is_missing(setup):
    done, calls = setup()
    assert (done.returncode, calls) == (0, "")
    assert done.stderr == "dev: everything is installed\n"


def test_what_is_missing_is_installed(setup):
    done, calls = setup("cmake libuv1-dev")
    assert done.returncode == 0, done.stderr
    assert "will install" in done.stderr and "cmake libuv1-dev" in done.stderr
    update, install = calls.splitlines()
    assert update.startswith("update") and install.endswith(" cmake libuv1-dev")


def test_what_the_distribution_has_no_package_of_is_named_and_left_to_the_build(setup):
    done, calls = setup("cmake libhttp-parser-dev", "libhttp-parser-dev")
    assert done.returncode == 0, done.stderr
    assert "has no package libhttp-parser-dev:" in done.stderr
    assert calls.splitlines()[1].endswith("Dpkg::Use-Pty=0 cmake")


def test_asked_once_only(setup):
    done, calls = setup("libhttp-parser-dev", "libhttp-parser-dev")
    assert (done.returncode, calls) == (0, "")
    assert "has no package libhttp-parser-dev:" in done.stderr


def test_before_the_first_update_nothing_is_unknown(setup, tmp_path):
    _, calls = setup("libhttp-parser-dev", "libhttp-parser-dev", lists=tmp_path / "none")
    assert calls.splitlines()[1].endswith(" libhttp-parser-dev")


def test_apt_fails(setup):
    done, _ = setup("cmake", install="100")
    assert done.returncode == 1 and "apt-get install failed" in done.stderr
