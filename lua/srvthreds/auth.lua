-- SPDX-License-Identifier: MIT
-- Who is it that a token speaks for? Until users with passwords exist there are two kinds: the administrator's token that
-- lies in the data folder, and, where `auth.dev_tokens` is on (loopback only), the bare id of a participant.

local runtime = require "core.runtime"

local auth = {}
auth.__index = auth

---@param options table { data = folder, dev_tokens = boolean, directory = directory }
function auth.new(options)
  local self = setmetatable({ directory = options.directory, dev_tokens = options.dev_tokens }, auth)
  self.admin_token = auth.admin_token_of(options.data)
  return self
end

---The administrator's token: made once, readable by the owner only.
function auth.admin_token_of(data)
  local path = data .. "/admin.token"
  local token = runtime.read_file(path)
  if token and #token >= 32 then return (token:gsub("%s+$", "")) end
  token = runtime.random_bytes(24):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local ok, e = runtime.write_file(path, token .. "\n", 384) -- 0600
  if not ok then error(e, 0) end
  return token
end

-- Takes the same time wherever the first difference is.
local function same(a, b)
  if #a ~= #b then return false end
  local diff = 0
  for i = 1, #a do diff = diff | (a:byte(i) ~ b:byte(i)) end
  return diff == 0
end

---@param token string|nil
---@return table|nil who { id, roles = set }
function auth:check(token)
  if type(token) ~= "string" or token == "" then return nil end
  if same(token, self.admin_token) then return { id = "admin", roles = { admin = true } } end
  if not self.dev_tokens or not self.directory:is_participant(token) then return nil end
  local roles = token == "admin" and { admin = true } or self.directory.participants[token].roles
  return { id = token, roles = roles }
end

---The token of an Authorization header, or nil.
function auth.bearer(req)
  local h = req:header "authorization"
  return h and h:match "^[Bb]earer%s+(%S+)%s*$"
end

return auth
