-- SPDX-License-Identifier: MIT
-- Strict: no global is written, none is read but the language's own and what the file's host gives it.
std = "lua54"
max_line_length = 120
codes = true
cache = "build/lint/luacheck"
exclude_files = { "build*/**", "bench-results/**", "srvthreds-data*/**", "library/**" }

-- Specs are run by tests/spec/runner, which gives them these.
files["tests/spec"] = { read_globals = { "describe", "it", "before", "after", "test", "expect" } }
-- Scripts see a whitelist: `log` is theirs.
files["patterns"] = { read_globals = { "log" } }
files["agents"] = { read_globals = { "log" } }
files["run-profiles"] = { read_globals = { "log" } }
