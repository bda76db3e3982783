-- SPDX-License-Identifier: MIT
-- Which SrvThreds this is.
local build = require "core.build"

return { string = build.version, build = build.build }
