# SPDX-License-Identifier: MIT
"""build/bench_docdb_mongo on a MongoDB server of its own, if one can be had."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "system"))
from mongodb import LEFT_OUT, main  # noqa: E402  # pylint: disable=wrong-import-position

if __name__ == "__main__":
    done = main([str(Path(os.environ["SRVTHREDS"]).parent / "bench_docdb_mongo"), *sys.argv[1:]])
    sys.exit(0 if done == LEFT_OUT else done)
