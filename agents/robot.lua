-- SPDX-License-Identifier: MIT
-- A simulated robot: it takes a deploy_robot task and answers with where it is and where its video can be seen.

local agent = require "srvthreds.agent"

return agent.agent "org.wt.robot" {
  address = "robot0",
  name = "Robot",
  tasks = {
    deploy_robot = function(task)
      local to = task.params.values.location
      return {
        robotId = task.params.matcher.id,
        latitude = to.latitude,
        longitude = to.longitude,
        videoStreamUrl = config.video_stream_url or "rtsp://robot0.local:8554/stream",
      }
    end,
  },
}
