# SPDX-License-Identifier: MIT
"""Each rule of ./dev lint finds what it is for, and lets the like of it pass."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import rules  # noqa: E402

C, LUA = "/* SPDX-License-Identifier: MIT */\n", "-- SPDX-License-Identifier: MIT\n"
LONG_C = "int f(void)\n{\n" + "\tg();\n" * 80 + "}\n"
SHORT_C = "int f(void)\n{\n" + "\tg();\n" * 77 + "}\n"
LONG_LUA = "local function f()\n" + "  g()\n" * 80 + "end\n"


def found(rule, path, text):
    return [line for line, _ in rule(rules.Source(path, text))]


BAD = [
    (rules.spdx, "core/net/a.c", "int a;\n"),
    (rules.spdx, "tools/a.sh", "#!/bin/sh\necho\n"),
    (rules.file_length, "lua/a.lua", LUA + "g()\n" * 600),
    (rules.function_length, "core/net/a.c", C + LONG_C),
    (rules.function_length, "lua/a.lua", LUA + LONG_LUA),
    (rules.function_length, "tools/a.py", "def f():\n" + "    g()\n" * 80),
    (rules.includes, "core/net/http.c", C + "#include <lua.h>\n"),
    (rules.includes, "core/cli/cli.h", C + '#include <lauxlib.h>\n'),
    (rules.includes, "core/cli/a.c", C + '#include "net/part.h"\n'),
    (rules.includes, "core/runtime/a.c", C + '#include "net/net.h"\n'),
    (rules.includes, "core/net/a.c", C + '#include "queue/queue.h"\n'),
    (rules.includes, "core/json/a.c", C + '#include "regex/regex.h"\n'),
    (rules.statics, "core/net/a.c", C + "static int count;\n"),
    (rules.statics, "core/net/a.c", C + "int table[3] = {1, 2, 3};\n"),
    (rules.statics, "core/net/a.c", C + "static _Thread_local struct task *now;\n"),
    (rules.statics, "core/net/a.c", C + "int f(void)\n{\n\tstatic int n = 0;\n\treturn n++;\n}\n"),
    (rules.unfinished, "core/net/a.c", C + "/* TO" + "DO */\n"),
    (rules.unfinished, "lua/a.lua", LUA + "-- for" + " now\n"),
    (rules.machine_paths, "docs/a.md", "see /wo" + "rk/main\n"),
    (rules.whitespace, "lua/a.lua", LUA + "local a = 1 \n"),
]

GOOD = [
    (rules.spdx, "tools/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n"),
    (rules.spdx, "README.md", "# A\n"),
    (rules.spdx, "library/a.lua", "---@meta\n" + LUA),
    (rules.file_length, "lua/a.lua", LUA + "g()\n" * 599),
    (rules.function_length, "core/net/a.c", C + SHORT_C + SHORT_C),
    (rules.function_length, "lua/a.lua", LUA + "f(function() return 1 end)\n" + "g()\n" * 90),
    (rules.includes, "core/net/lua_net.c", C + "#include <lua.h>\n"),
    (rules.includes, "core/runtime/task.h", C + "#include <lua.h>\n"),
    (rules.includes, "core/net/a.c", C + '#include "runtime/task.h"\n#include "net/part.h"\n'),
    (rules.includes, "core/net/a.c", C + '#include "base/fault.h"\n'),
    (rules.includes, "core/queue/local.c", C + '#include "store/sqlite.h"\n'),
    (rules.includes, "core/store/class.h", C + '#include "queue/queue.h"\n'),
    (rules.statics, "core/net/a.c", C + "static const int t[] = {1};\nstruct net;\nint f(int a);\ntypedef int u;\n"),
    (rules.statics, "core/net/a.c", C + "struct a {\n\tint n;\n};\nint f(void)\n{\n\tint n = 0;\n}\n"),
    (rules.unfinished, "core/net/a.c", C + 'case 501: return "Not ' + 'Implemented";\n'),
    (rules.unfinished, "core/net/a.c", C + 'char name[] = "' + "X" * 6 + '";\n'),
]


@pytest.mark.parametrize("rule, path, text", BAD, ids=lambda value: getattr(value, "__name__", None))
def test_finds(rule, path, text):
    assert found(rule, path, text), f"{rule.__name__} passed {text[:200]!r}"


@pytest.mark.parametrize("rule, path, text", GOOD, ids=lambda value: getattr(value, "__name__", None))
def test_lets_pass(rule, path, text):
    assert not found(rule, path, text)
