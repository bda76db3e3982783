-- SPDX-License-Identifier: MIT
-- Strict: no global is written, none is read but the language's own and what the file's host gives it.
std = "lua54"
max_line_length = 140
unused_args = false -- a function keeps the form that its callers know
codes = true
exclude_files = { "build*/**", "bench-results/**", "srvthreds-data*/**", "library/**" }

-- Specs are run by tests/spec/runner, which gives them these.
files["tests/spec"] = { read_globals = { "describe", "it", "before", "after", "test", "expect" } }
-- Those of tests/unit are run by the C test of their name, which gives them these. Tables of attacks are wide.
files["tests/unit"] = {
  read_globals = { "rt", "holding", "gate", "held", "cpu_ms", "slice", "stock" }, max_line_length = 200,
}
-- Scripts see a whitelist: these are theirs.
files["patterns"] = { read_globals = { "log" } }
files["agents"] = { read_globals = { "log", "config" } }
files["run-profiles"] = { read_globals = { "log", "config" } }
files["tests/system/profiles"] = { read_globals = { "log", "config" } }
