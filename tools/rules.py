# SPDX-License-Identifier: MIT
"""Our own rules, each a function from a source file to (line, message) pairs. Run by tools/lint.py."""
import ast
import re

FILE_LINES = 600
FUNCTION_LINES = 80

# A folder of core/ includes only folders of a lower rank.
ARROW = "the arrow goes cli -> records -> net, queue, store, docdb -> script -> runtime, json -> base"
RANK = {
    "base": 0,
    "json": 1, "regex": 1,
    "observe": 2, "runtime": 2,
    "script": 3,
    "store": 4, "queue": 4, "docdb": 4, "net": 4, "auth": 4,
    "records": 5,
    "cli": 6,
}
# Two halves of one thing: the local queue and the store write the same file (docs/decisions/store.md).
TOGETHER = {"store", "queue"}
# Public beside FOLDER/FOLDER.h; every header of base is.
PUBLIC = {"runtime/task.h", "json/lua_json.h", "store/scan.h", "store/lua_face.h", "docdb/view.h", "docdb/value.h",
          "docdb/lua_docdb.h", "base/*"}

# Spelt so that this file doesn't find itself.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K|not[ ]implemented|unimple[m]ented|for[ ]now|place[h]older"
                        r"|stu[b](bed)?)\b", re.I)
MACHINE_PATH = re.compile(r"/(wor[k]|far[m]|roo[t])/")


class Source:
    def __init__(self, path, text):
        self.path = path
        self.lines = text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.parts = path.split("/")
        self.name = self.parts[-1]
        self.folder = self.parts[1] if self.parts[0] == "core" and len(self.parts) > 2 else None
        suffix = self.name.rpartition(".")[2] if "." in self.name[1:] else ""
        if not suffix and self.lines and self.lines[0].startswith("#!"):
            suffix = "sh" if "sh" in self.lines[0] else "py"
        self.kind = {"h": "c", "txt": "cmake" if self.name == "CMakeLists.txt" else "txt"}.get(suffix, suffix)

    def code(self):
        """Numbered lines without C comments and strings (good enough: none of ours hides code behind either)."""
        inside = False
        for number, line in enumerate(self.lines, 1):
            line = re.sub(r'"(\\.|[^"\\])*"', '""', line) if not line.lstrip().startswith("#include") else line
            if inside:
                if "*/" not in line:
                    continue
                line, inside = line.split("*/", 1)[1], False
            line = re.sub(r"/\*.*?\*/", "", line)
            line = line.split("//")[0]
            if "/*" in line:
                line, inside = line.split("/*", 1)[0], True
            yield number, line.rstrip()


def spdx(source):
    second = source.lines[0].startswith(("#!", "---@meta"))  # which have to be the first line themselves
    first = source.lines[1:2] if second else source.lines[0:1]
    if source.kind in ("c", "lua", "py", "sh", "cmake") and "SPDX-License-Identifier: MIT" not in "".join(first):
        yield 1, "the first line is to be the SPDX line: SPDX-License-Identifier: MIT"


def file_length(source):
    if source.kind in ("c", "lua", "py", "sh", "mjs") and len(source.lines) > FILE_LINES:
        yield len(source.lines), f"{len(source.lines)} lines; a file has {FILE_LINES} at most: split it by what it does"


def c_functions(source):
    start, title = 0, ""
    for number, line in source.code():
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start - 1, number - start + 2, title
            start = 0
        elif not start and line:
            title = line


def lua_functions(source):
    """By indentation, which the formatter's two spaces make reliable."""
    opened = []
    for number, line in enumerate(source.lines, 1):
        indent = len(line) - len(line.lstrip())
        while opened and re.match(r"end\b", line.lstrip()) and opened[-1][0] >= indent:
            depth, start, title = opened.pop()
            if depth == indent:
                yield start, number - start + 1, title
        if re.search(r"\bfunction\b[^\"']*\)", line) and not re.search(r"\bend\b[^\"']*$", line):
            opened.append((indent, number, line.strip()))


def python_functions(source):
    for node in ast.walk(ast.parse("\n".join(source.lines))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1, node.name


def function_length(source):
    finders = {"c": c_functions, "lua": lua_functions, "py": python_functions}
    # A spec file is one describe around its tests: only what is inside is counted.
    for start, length, title in finders.get(source.kind, lambda _: ())(source):
        if length > FUNCTION_LINES and not re.match(r"describe\b", title):
            yield start, f"{length} lines; a function has {FUNCTION_LINES} at most: {title[:60]}"


def may_see_lua(source):
    return (source.folder in (None, "script") or source.name.startswith("lua_")
            or source.folder == "runtime" and source.name.startswith("task"))


def includes(source):
    if source.kind != "c":
        return
    for number, line in source.code():
        found = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
        if not found:
            continue
        header = found.group(1)
        if re.match(r"(lua|lauxlib|lualib)\.h$", header) and not may_see_lua(source):
            yield number, f"{header} is for lua_*.c, script/ and runtime's tasks only"
        folder, _, file = header.partition("/")
        if folder not in RANK or not file or source.folder in (None, folder) or {source.folder, folder} == TOGETHER:
            continue
        if file != folder + ".h" and not PUBLIC & {header, folder + "/*"}:
            yield number, f"{header} is private to {folder}/; include {folder}/{folder}.h"
        if RANK.get(source.folder, 9) <= RANK[folder]:
            yield number, f"{source.folder}/ must not know {folder}/: {ARROW}"


MUTABLE_IN_FUNCTION = re.compile(r"\s+static\s+(?!(const|inline|_Noreturn)\b)(?!.*\bconst\b)[\w\s*]+")
MUTABLE_AT_FILE = re.compile(r"(static\s+|_Atomic\s+|_Thread_local\s+|volatile\s+)*[a-z_]\w*(\s+\w+)*[\s*]+\w+"
                             r"(\[[^\]]*\])*\s*(=|;)")


OF_THE_PROCESS = {
    "core/base/fault.c",         # the passages of kill points, as its death is; debug builds only
    "core/net/websocket_log.c",  # where libwebsockets' lines go: its log function gets no argument
}


def statics(source):
    if source.kind != "c" or source.folder is None or source.path in OF_THE_PROCESS:
        return
    for number, line in source.code():
        if re.match(r"(typedef|extern|return|goto|struct \w+;|enum \w+;|union \w+;|#|\})", line):
            continue
        if MUTABLE_IN_FUNCTION.match(line) or MUTABLE_AT_FILE.match(line) and "const" not in line:
            yield number, "a static or global that can change: put it into the struct of its owner"


def unfinished(source):
    if source.kind in ("md", "json"):
        return
    for number, line in enumerate(source.lines, 1):
        found = UNFINISHED.search(line)
        if found and "501" not in line:  # HTTP's own words for it
            yield number, f'"{found.group(0)}" says something is unfinished: finish it, or say in docs what is missing'


def machine_paths(source):
    for number, line in enumerate(source.lines, 1):
        if MACHINE_PATH.search(line):
            yield number, "a path of one machine"


def whitespace(source):
    """The width of C is clang-format's, of Lua luacheck's."""
    if source.kind in ("md", "json", "txt"):
        return
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if source.kind in ("py", "sh", "cmake") and len(line.expandtabs(8)) > 120:
            yield number, "longer than 120 columns"


RULES = (spdx, file_length, function_length, includes, statics, unfinished, machine_paths, whitespace)
