-- SPDX-License-Identifier: MIT
-- Strict: no global is written, none is read but the language's own and what the file's host gives it.
std = "lua54"
max_line_length = 140
self = false -- a method need not use it
codes = true
cache = "build/lint/luacheck"
exclude_files = { "build*/**", "bench-results/**", "srvthreds-data*/**", "library/**" }

-- Specs are run by tests/spec/runner, which gives them these.
files["tests/spec"] = { read_globals = { "describe", "it", "before", "after", "test", "expect" } }
-- Scripts see a whitelist: these are theirs.
files["patterns"] = { read_globals = { "log" } }
files["agents"] = { read_globals = { "log", "config" } }
files["run-profiles"] = { read_globals = { "log", "config" } }
