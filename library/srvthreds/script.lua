---@meta srvthreds.script
-- SPDX-License-Identifier: MIT
-- What a profile's scripts (PROFILE/scripts/NAME.lua) get, for editors (LuaLS). Never run. So that the editor knows it:
--   ---@type srvthreds.Script
--   return function(db, args) … end

---@class srvthreds.Limits
---@field cpu? number ms of processor time; default 200
---@field wall? number ms by the clock; default 2000
---@field memory? integer bytes; default 32 MiB

---What a file returns. The function's result, as JSON, is the task's; `error { code = 4200, message = … }` undoes all.
---@alias srvthreds.Script srvthreds.ScriptFunction|{ run: srvthreds.ScriptFunction, limits?: srvthreds.Limits }
---@alias srvthreds.ScriptFunction fun(db: srvthreds.Db, args: any): any

---@alias srvthreds.Document table<string, any> with `id`, `created` and `modified` (ISO 8601 texts)

---MongoDB's, by path: { id = "a" }, { n = { ["$gt"] = 2 } }, { ["$or"] = { …, … } }.
---@alias srvthreds.Matcher table<string, any>

---Fields to set, by path, and operators: { color = "red", ["$inc"] = { n = 1 } }.
---@alias srvthreds.Changes table<string, any>

---@class srvthreds.Selector
---@field include? string[]
---@field exclude? string[]

---@class srvthreds.Sort
---@field field string
---@field desc? boolean

---@class srvthreds.Collector
---@field sort? srvthreds.Sort[]
---@field skip? integer
---@field limit? integer

---@class srvthreds.Where
---@field type? string the collection; default: that of the task `run`
---@field matcher srvthreds.Matcher {} matches every document

---@class srvthreds.Find: srvthreds.Where
---@field selector? srvthreds.Selector
---@field collector? srvthreds.Collector

---@class srvthreds.Update: srvthreds.Where
---@field values srvthreds.Changes

---@class srvthreds.Replace: srvthreds.Where
---@field values srvthreds.Document

---@class srvthreds.Put
---@field type? string the collection; default: that of the task `run`
---@field values srvthreds.Document|srvthreds.Document[]

---@class srvthreds.Task
---@field op "put"|"getOne"|"get"|"update"|"upsert"|"replace"|"delete"|"count"
---@field params table
---@field name? string

---@class srvthreds.Written
---@field id? string of a document that was made
---@field matched integer
---@field modified integer

---The documents, within the transaction that the script is part of. Read-only.
---@class srvthreds.Db
local db = {}

---@param params srvthreds.Put
---@return string|string[] id one is made where there is none; a list for a list
function db:put(params) end

---@param params srvthreds.Find
---@return srvthreds.Document? document
function db:getOne(params) end

---@param params srvthreds.Find
---@return srvthreds.Document[] documents
function db:get(params) end

---All that match.
---@param params srvthreds.Update
---@return srvthreds.Written written
function db:update(params) end

---The first that matches, or a new one.
---@param params srvthreds.Update
---@return srvthreds.Written written
function db:upsert(params) end

---One, or a new one; `created` stays.
---@param params srvthreds.Replace
---@return srvthreds.Written written
function db:replace(params) end

---@param params srvthreds.Where
---@return integer count
function db:delete(params) end

---@param params srvthreds.Where
---@return integer count
function db:count(params) end

---Several at once, in order. Results are JSON's: null where there is no document.
---@param tasks srvthreds.Task[]
---@return any[] results
function db:run(tasks) end

return db
