---@meta srvthreds.pattern
-- SPDX-License-Identifier: MIT
-- What `require "srvthreds.pattern"` gives a pattern file, for editors (LuaLS). Never run.

---@class p
---@field null lightuserdata JSON null: truthy, equal only to itself
local p = {}

---A JSON value as scripts see it in an event: read-only.
---@alias p.Json string|number|boolean|table|lightuserdata

---The event that is handled. Read-only at every depth.
---@class p.Event
---@field id string unique per source
---@field type string
---@field time integer ms since 1970, the sender's word
---@field thredId string? the thred it is for; nil: unbound
---@field re string? the id of the event that it answers
---@field source { id: string, name: string?, uri: string? } the sender
---@field data { title: string?, description: string?, display: table?, advice: table?, content: table? }?
---@field content { valuesType: string?, values: any, tasks: any, resources: any, items: any, error: table? }?
---@field values any the same as data.content.values
---@field advice { eventType: string?, title: string?, template: any }?
local event = {}

---The first value under that name at any depth of the values; nil for null.
---@param name string
---@return any
function event:value(name) end

---Is it the answer to what `publish = { to = …, name = NAME }` sent?
---@param name string
---@return boolean
function event:is_response_for(name) end

---The thred: its fields are the locals. They are written in on_true, on_publish and on_upgrade, nowhere else.
---@alias p.Thred table<string, any>

---@alias p.Duration integer|string ms, or "250ms", "30s", "5m", "2h", "7d"

---@class p.Expiry
---@field after p.Duration
---@field transition? string|p.Transition default "$next"

---@class p.Transition
---@field name? string a reaction, or "$next" (default), "$terminate", "$noTransition"
---@field input? "default"|"forward"|"local" default: wait; forward: the same event; local: the event in local_name
---@field local_name? string

---@alias p.Address string|(string|p.Address)[] a participant, "$group", "$thred", "$all", a service; or a list

---@class p.Publish
---@field to p.Address|fun(event: p.Event, thred: p.Thred): p.Address?
---@field name? string for `event:is_response_for` and `re = p.answer_to`
---@field on_publish? fun(event: p.Event, thred: p.Thred, outbound: p.Event)

---@class p.Spawn
---@field names string|string[] ids of patterns
---@field type? "child"|"sibling" a child (default) ends with this thred
---@field input? "default"|"forward"|"local"
---@field local_name? string
---@field context? boolean copy locals and participants

---What is sent: JSON values whose leaves may be function(event, thred).
---@class p.Template
---@field title? string|fun(event: p.Event, thred: p.Thred): string?
---@field description? string|fun(event: p.Event, thred: p.Thred): string?
---@field display? { uri: any }|fun(event: p.Event, thred: p.Thred): table?
---@field advice? { eventType: any, title: any, template: any }|fun(event: p.Event, thred: p.Thred): table?
---@field content? p.Content|fun(event: p.Event, thred: p.Thred): any
---@field re? string|fun(event: p.Event, thred: p.Thred): string?

---@class p.Content
---@field valuesType? any
---@field values? any
---@field tasks? any
---@field resources? any
---@field items? any
---@field error? any

---They run in this order when the condition matches.
---@class p.Directives
---@field on_true? fun(event: p.Event, thred: p.Thred) writes locals
---@field transform? p.Template|fun(event: p.Event, thred: p.Thred): table
---@field publish? p.Address|p.Publish|fun(event: p.Event, thred: p.Thred): p.Address?
---@field transition? string|p.Transition
---@field spawn? string|p.Spawn

---A condition; calling it with a table gives it directives: p.where { … } { transition = "$terminate" }
---@class p.Condition
---@operator call(p.Directives): p.Condition

---@class p.Matcher

---The fields of an event and what they must be. Further fields: ["values.NAME"], ["data.NAME"], with dots into objects.
---@class p.Fields
---@field type? string|p.Matcher
---@field source? string|p.Matcher the sender's id
---@field re? string|p.Matcher see p.answer_to
---@field values? p.Matcher
---@field data? p.Matcher
---@field when? fun(event: p.Event, thred: p.Thred): boolean? for the rest of the same event
---@field [string] p.Json|p.Matcher

---@class p.ReactionBody
---@field [1] p.Condition exactly one
---@field allowed_sources? string|string[] participants, "$group", "/regex/" (caseless)
---@field allowed_roles? string|string[] one of them is enough
---@field allow_unbound_events? boolean
---@field expiry? p.Expiry

---@class p.Reaction

---@class p.PatternBody
---@field [integer] p.Reaction the first one starts threds
---@field id? string default: the name in lower case, spaces to _
---@field description? string
---@field instance_interval? p.Duration at least so long between two starts
---@field max_instances? integer 0: no limit
---@field broadcast_allowed? boolean
---@field echo_responses? boolean
---@field active? boolean default true
---@field finished_keep? p.Duration default "24h"
---@field limits? { cpu: p.Duration?, wall: p.Duration?, memory: integer|string? } per step
---@field meta? table
---@field on_upgrade? fun(thred: p.Thred, from: string) fixes locals when a live thred gets this version

---@class p.Pattern

---return p.pattern "Name" { reactions… }
---@param name string
---@return fun(body: p.PatternBody): p.Pattern
function p.pattern(name) end

---@param name string? unique in the pattern
---@return fun(body: p.ReactionBody): p.Reaction
function p.reaction(name) end

---Declared fields: indexed, checked when loaded, explained.
---@param fields p.Fields
---@return p.Condition
function p.where(fields) end

---@param fn fun(event: p.Event, thred: p.Thred): boolean? no side effects
---@return p.Condition
function p.filter(fn) end

---Every operand once, not necessarily on the same event. Operands may have on_true only.
---@param operands p.Condition[]
---@return p.Condition
function p.all(operands) end

---The first operand that matches.
---@param operands p.Condition[]
---@return p.Condition
function p.any(operands) end

---@param ... p.Json values, or one list of them
---@return p.Matcher
function p.one_of(...) end

---There, and none of these (in an array: no element is).
---@param ... p.Json
---@return p.Matcher
function p.none_of(...) end

---@param n number
---@return p.Matcher
function p.at_least(n) end

---@param n number
---@return p.Matcher
function p.at_most(n) end

---@param n number
---@return p.Matcher
function p.above(n) end

---@param n number
---@return p.Matcher
function p.below(n) end

---@param low number
---@param high number
---@return p.Matcher
function p.between(low, high) end

---@param regex string PCRE2 over UTF-8, found anywhere
---@return p.Matcher
function p.matches(regex) end

---@param text string
---@return p.Matcher
function p.starts_with(text) end

---There, also when it is null.
---@return p.Matcher
function p.present() end

---@return p.Matcher
function p.absent() end

---For `re` only: an answer to what was published under that name.
---@param name string
---@return p.Matcher
function p.answer_to(name) end

---A list that stays one when it is empty.
---@generic T
---@param t T[]?
---@return T[]
function p.array(t) end

---The step's time, ms since 1970.
---@return integer
function p.now() end

---@param thred p.Thred
---@return string
function p.id(thred) end

---The name of its current reaction.
---@param thred p.Thred
---@return string
function p.reaction_of(thred) end

---@param thred p.Thred
---@return string[]
function p.participants(thred) end

---The number of the running step.
---@param thred p.Thred
---@return integer
function p.step(thred) end

---Ends the step with an error event.
---@param code integer 4000 to 5999, see the model's codes
---@param message string
function p.fail(code, message) end

---Written when the step commits.
---@param ... any
function log(...) end

return p
