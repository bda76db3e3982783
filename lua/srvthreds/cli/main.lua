-- SPDX-License-Identifier: MIT
local runtime = require "core.runtime"
io.stderr:write("srvthreds: no verbs in this build\n")
runtime.stop(2)
