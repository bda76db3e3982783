-- SPDX-License-Identifier: MIT
-- For test_attacks.py: tests/spec/attacks.lua as one line of JSON; run by the spec runner.
print(require("core.json").encode((require "attacks")))
return 0
