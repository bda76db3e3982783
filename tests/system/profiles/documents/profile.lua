-- SPDX-License-Identifier: MIT
-- What the tests of the persistence agent run: a pattern that hands tasks on.
return { participants = { admin = { roles = { "admin" } }, p0 = {}, p1 = {} } }
