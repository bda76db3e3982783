-- SPDX-License-Identifier: MIT
-- Every key of the configuration, in the order in which it is shown. Flags, environment names, `config show` and
-- docs/configuration.md come from here.

---@class srvthreds.ConfigKey
---@field key string
---@field type "string"|"path"|"paths"|"port"|"integer"|"boolean"|"duration"|"size"|"choice"|"levels"|"list"
---@field default any as it would be written in a file; nil: not set
---@field help string
---@field group string
---@field secret boolean? never a flag, masked; NAME_FILE in the environment names a file that holds it
---@field alias string[]? environment names of other deployments
---@field later string? known, but refused in this version, with this reason
---@field only string[]? prefixes of the values that this version takes
---@field choices string[]?
---@field min integer?
---@field unset string? what is shown when it has no value

local embedded = "this version has the embedded backend only (%s); the scale-out backends come later"

---@type srvthreds.ConfigKey[]
local keys = {
  { group = "Folders" },
  { key = "data", type = "path", default = "./srvthreds-data",
    help = "the folder of the store, the lock and the admin token; made when it is missing" },
  { key = "patterns", type = "paths", unset = "./patterns",
    help = "folders of pattern files, watched; added to the profile's patterns" },
  { key = "agents", type = "paths", unset = "./agents", help = "folders of agent files, watched" },
  { key = "profiles", type = "paths", unset = "./run-profiles, then those that were installed",
    help = "folders in which a profile is looked for, in this order" },

  { group = "Addresses" },
  { key = "bind", type = "string", default = "127.0.0.1", help = "the address to listen on; containers set 0.0.0.0" },
  { key = "engine.port", type = "port", default = 8082,
    help = "admin API, health, metrics; 0 picks a free port and the ready line names it" },
  { key = "session.port", type = "port", default = 3000, help = "WebSocket for participants" },
  { key = "session.http_port", type = "port", default = 3001, help = "HTTP for participants" },
  { key = "health.port", type = "port", default = 8083,
    help = "health and metrics of a process that has neither the engine nor the session agent" },

  { group = "Storage" },
  { key = "store", type = "string", default = "sqlite:DATA/srvthreds.db", only = { "sqlite:", "memory:" },
    later = embedded:format("sqlite:PATH or memory:"), alias = { "REDIS_HOST" },
    help = "threds, events and queues: sqlite:PATH, or memory: for tests; DATA stands for the data folder" },
  { key = "queue", type = "string", default = "local:", only = { "local:" }, later = embedded:format("local:"),
    alias = { "RABBITMQ_HOST" }, help = "local: keeps the queue in the store" },
  { key = "docdb", type = "string", default = "sqlite:DATA/documents.db",
    only = { "sqlite:", "memory:", "mongodb:", "mongodb+srv:" },
    later = "documents lie in sqlite:PATH, memory:, or MongoDB: mongodb://… or mongodb+srv://…", alias = { "MONGO_HOST" },
    help = "the documents that tasks read and write: sqlite:PATH, a file of its own, or a MongoDB replica set "
      .. "(mongodb://NAME:PASSWORD@HOST/?replicaSet=NAME); DATA stands for the data folder" },
  { key = "docdb.hosts", type = "list", default = {},
    help = "more document databases that a task's hostString may name: NAME=URL" },
  { key = "docdb.databases", type = "list", default = { "srvthreds" },
    help = "the databases that a task's dbname may name; the first is used if it names none" },
  { key = "docdb.timeout", type = "duration", default = "30s", min = 100,
    help = "how long the tasks of one event may take" },
  { key = "dedup.keep", type = "duration", default = "7d", min = 60000,
    help = "how long the same id of the same source is known again, at least" },
  { key = "inbox.keep", type = "duration", default = "7d", min = 60000,
    help = "how long a participant's messages wait for it" },
  { key = "records.keep", type = "duration", default = "90d", min = 60000,
    help = "how long records of events, ended threds and the audit are kept; not shorter than dedup.keep" },

  { group = "Limits" },
  { key = "limits.event_size", type = "size", default = "1MiB", min = 1024, help = "a larger event is refused" },
  { key = "limits.depth", type = "integer", default = 100, min = 4, help = "an event nested deeper is refused" },
  { key = "limits.connections", type = "integer", default = 10000, min = 1,
    help = "open connections of one listener" },
  { key = "limits.send_queue", type = "size", default = "4MiB", min = 65536,
    help = "a session that reads slower than this is closed and comes back with lastSeen" },

  { group = "Scripts" },
  { key = "scripts.cpu_max", type = "duration", default = "1m", min = 1,
    help = "the most CPU time that a step may use; a pattern whose limits ask for more is a mistake" },
  { key = "scripts.wall_max", type = "duration", default = "5m", min = 1, help = "the most time that a step may take" },
  { key = "scripts.watchdog", type = "duration", default = "10s", min = 1000,
    help = "one stretch of a script that nothing can interrupt and that takes longer ends the process with code 70" },
  { key = "scripts.memory_max", type = "size", default = "256MiB", min = 65536,
    help = "the most memory that a step may hold" },
  { key = "pause.after", type = "integer", default = 5, min = 0,
    help = "so many steps over their budget within pause.within pause a pattern; 0 never does" },
  { key = "pause.within", type = "duration", default = "1m", min = 1, help = "see pause.after" },
  { key = "pause.events", type = "choice", choices = { "wait", "dead" }, default = "wait",
    help = "events of a paused pattern wait for it, or become dead letters" },
  { key = "pause.waiting", type = "integer", default = 100000, min = 0,
    help = "so many events wait for one paused pattern, so many messages for one paused agent; what is more becomes dead letters" },

  { group = "Memory" },
  { key = "memory.limit", type = "size", min = 67108864, unset = "half of what the machine or its container has, at least 256MiB",
    help = "of the process: near it less is accepted (HTTP 503, sessions wait); nothing that was accepted is lost" },
  { key = "memory.scripts", type = "size", min = 1048576, unset = "a quarter of memory.limit",
    help = "of all scripts together: near it steps wait; above it the largest are ended" },
  { key = "memory.queue", type = "size", min = 1048576, unset = "an eighth of memory.limit",
    help = "of events in memory that are not processed yet; accepting waits beyond that" },
  { key = "memory.cache", type = "size", min = 1048576, unset = "an eighth of memory.limit, at most 128MiB",
    help = "half for live threds, half for pages of the store" },

  { group = "Who may do what" },
  { key = "auth.dev_tokens", type = "boolean", unset = "true for `dev` on a loopback address, else false",
    help = "a participant's id is taken as its token; on loopback only" },
  { key = "auth.secret", type = "string", secret = true, alias = { "JWT_SECRET" },
    help = "signs access tokens; on a bind that isn't loopback at least 32 bytes, no text from an example" },
  { key = "auth.refresh_secret", type = "string", secret = true, alias = { "REFRESH_TOKEN_SECRET" },
    help = "signs refresh tokens" },
  { key = "auth.origins", type = "list", default = {},
    help = "pages of other hosts that may open sessions: https://host; * is every page" },
  { key = "tls.cert", type = "path", later = "TLS is not in this version; put a proxy that ends TLS before it",
    help = "certificate chain (PEM)" },
  { key = "tls.key", type = "path", later = "TLS is not in this version; put a proxy that ends TLS before it",
    help = "private key (PEM)" },

  { group = "Logs" },
  { key = "log.level", type = "levels", default = "info", alias = { "LOG_LEVEL" },
    help = "debug, info, warn or error; per module as in info,store=debug" },
  { key = "log.format", type = "choice", choices = { "text", "json" }, unset = "text on a terminal, else json",
    help = "text for people, json for machines: one object a line" },

  { group = "For the verbs that talk to a running system" },
  { key = "server", type = "string", default = "127.0.0.1", help = "the host that send, join, watch, threds… talk to" },
  { key = "token", type = "string", secret = true,
    help = "your access token, for send and join; without it the participant's id, which `dev` takes on loopback" },
  { key = "admin_token", type = "string", secret = true, unset = "what DATA/admin.token holds",
    help = "for the verbs that look at and act on a system" },
}

return keys
