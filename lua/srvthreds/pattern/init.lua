-- SPDX-License-Identifier: MIT
-- Patterns: loading them, asking them, explaining them. What a pattern file gets by `require "srvthreds.pattern"` isn't
-- this table but a read-only face of its own (nodes.lua); editors know it from library/srvthreds.lua.
local codes = require "srvthreds.pattern.codes"
local index = require "srvthreds.pattern.index"
local report = require "srvthreds.pattern.report"
local shape = require "srvthreds.pattern.shape"
local sources = require "srvthreds.pattern.sources"
local where = require "srvthreds.pattern.where"

---What p.now(), p.id(thred), p.reaction_of(thred), p.participants(thred), p.step(thred) and p.fail(code, message) call.
---@class srvthreds.pattern.Host
---@field now fun(): integer
---@field id fun(thred: table): string
---@field reaction_of fun(thred: table): string
---@field participants fun(thred: table): string[]
---@field step fun(thred: table): integer
---@field fail fun(code: integer, message: string)

local pattern = {
  ---Installed by the engine; load{ host = … } takes precedence.
  ---@type srvthreds.pattern.Host
  host = {},

  ---load(source, file, options) → pattern or nil, problems, required modules
  load = require "srvthreds.pattern.load".load,
  ---A problem as text for people.
  format = report.format,
  ---`srvthreds explain CODE`.
  explain_code = codes.explain,
  codes = codes.list,

  match_where = where.match_item,
  compile_where = where.compile,
  explain = where.explain,
  describe = where.describe,

  ---From many patterns: index(patterns) → i; i:candidates(event), i:add(pattern), i:remove(id)
  index = index.new,
  ---May this source send to this reaction?
  allowed = sources.allowed,

  shape = shape.of,
  same_shape = shape.same,
}

return pattern
