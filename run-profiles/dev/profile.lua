-- SPDX-License-Identifier: MIT
-- To begin with: two people, an administrator and one small pattern to edit while it runs.
return {
  participants = { admin = { roles = { "admin" } }, ann = {}, bob = {} },
  groups = { everyone = { "ann", "bob" } },
}
