-- SPDX-License-Identifier: MIT
-- A sensor sees something; a group decides whether a robot goes there, and whether to look at its video.
return {
  participants = {
    admin = { roles = { "admin" } },
    participant0 = {},
    participant1 = {},
    participant2 = {},
    participant3 = {},
  },
  groups = { group0 = { "participant0", "participant1" } },
  agents = {
    robot = { id = "robot0" },
    sensor = { id = "sensor_agent0" },
  },
}
