-- SPDX-License-Identifier: MIT
-- A sensor reports a possible contact. The group is asked whether to send a robot, the robot goes and reports where it
-- is, the group is asked whether to open its video, and gets the stream.
local p = require "srvthreds.pattern"

-- A question with two choices, as the clients show it.
local function yes_or_no(name, text)
  return { input = { type = "boolean", name = name, display = text,
    set = { { display = "Yes", value = true }, { display = "No", value = false } } } }
end

-- What the clients show for an event: a card with these parts.
local function card(name, ...)
  return { name = name, interactions = { { interaction = { content = { ... } } } } }
end

local function marker(name, position)
  return { name = name, latitude = position.latitude, longitude = position.longitude }
end

local function at(position)
  return ("%s, %s"):format(position.latitude, position.longitude)
end

-- Clients answer with the first type, `POST /values` with the second.
local ANSWER = p.one_of("org.wt.client.tell", "org.wt.session")

-- Anyone in the group may still say yes after another said no, until the question expires.
local function declined(answer)
  return p.where { type = ANSWER, ["values." .. answer] = false } { transition = "$noTransition" }
end

return p.pattern "Contact Response" {
  description = "A possible contact: ask, send a robot, show its video",
  broadcast_allowed = true,
  echo_responses = true,

  p.reaction "notify" {
    p.where { type = "org.wt.sensor.detectionEvent", source = "sensor_agent0" } {
      on_true = function(event, thred)
        thred.contact = {
          sensorId = event:value "sensorId" or event.source.id,
          latitude = event:value "latitude",
          longitude = event:value "longitude",
        }
      end,
      transform = {
        title = "Possible Contact Detected",
        description = function(_, thred)
          return ("Sensor %s has detected a possible contact at %s"):format(thred.contact.sensorId, at(thred.contact))
        end,
        advice = {
          eventType = "org.wt.client.tell",
          title = "Possible Contact Detected",
          template = function(_, thred)
            return card("ef_notification", { map = { locations = { marker("Contact", thred.contact) } } },
              yes_or_no("deploy_robot_response", "Would you like to deploy a robot to investigate?"))
          end,
        },
        content = { values = function(_, thred) return thred.contact end },
      },
      publish = { to = "$group0", name = "deploy_question" },
    },
  },

  p.reaction "deploy" {
    allowed_sources = "$group0",
    expiry = { after = "1h", transition = "$terminate" },
    p.any {
      p.where { type = ANSWER, ["values.deploy_robot_response"] = true } {
        transform = {
          title = "Deploy Robot",
          content = {
            tasks = {
              {
                name = "deploy_robot",
                op = "update",
                params = {
                  type = "Param",
                  matcher = { id = "robot_id_0" },
                  values = { location = function(_, thred)
                    return { latitude = thred.contact.latitude, longitude = thred.contact.longitude }
                  end },
                },
              },
            },
          },
        },
        publish = { to = "robot0", name = "deploy_task" },
      },
      declined "deploy_robot_response",
    },
  },

  p.reaction "deployed" {
    allowed_sources = "robot0",
    expiry = { after = "10m", transition = "$terminate" },
    p.where { re = p.answer_to "deploy_task" } {
      on_true = function(event, thred)
        thred.robot = {
          robotId = event:value "robotId",
          latitude = event:value "latitude",
          longitude = event:value "longitude",
          videoStreamUrl = event:value "videoStreamUrl",
        }
      end,
      transform = {
        title = "Robot Deployed",
        description = function(_, thred)
          return ("Robot %s is at %s, on its way to the contact at %s")
            :format(thred.robot.robotId, at(thred.robot), at(thred.contact))
        end,
        advice = {
          eventType = "org.wt.client.tell",
          title = "Robot Deployed",
          template = function(_, thred)
            return card("ef_notification",
              { map = { locations = { marker("Robot", thred.robot), marker("Contact", thred.contact) } } },
              yes_or_no("video_stream_response", "Would you like to open the robot's video stream?"))
          end,
        },
        content = { values = function(_, thred)
          return { robotId = thred.robot.robotId, latitude = thred.robot.latitude, longitude = thred.robot.longitude }
        end },
      },
      publish = { to = "$group0", name = "video_question" },
    },
  },

  p.reaction "video" {
    allowed_sources = "$group0",
    expiry = { after = "1h", transition = "$terminate" },
    p.any {
      p.where { type = ANSWER, ["values.video_stream_response"] = true } {
        transform = {
          title = "Robot Video Stream",
          advice = {
            eventType = "org.wt.client.tell",
            title = "Robot Video Stream",
            template = function(_, thred) return card("ef_video", { video = { uri = thred.robot.videoStreamUrl } }) end,
          },
          content = { values = function(_, thred) return { videoStreamUrl = thred.robot.videoStreamUrl } end },
        },
        publish = "$group0",
        transition = "$terminate",
      },
      declined "video_stream_response",
    },
  },
}
