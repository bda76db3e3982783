-- SPDX-License-Identifier: MIT
-- What the codes of the model mean (core/base/base.h): those that an answer or an event's error carries as a number.

return {
  { code = "4000", title = "bad request",
    text = [[
What was sent isn't what is understood there: the method of the request, its form, or the frame. The
message says what is expected. Events to the system itself (`thredId: "SYSTEM"`) other than dataControl
are answered with it, too: this version doesn't take them.]] },
  { code = "4101", title = "not allowed",
    text = [[
The token is missing or not valid, it hasn't the role, or the event asks for something that its
sender may not do; of a task on documents: `dbname` or `hostString` is none that the configuration
(docdb.databases, docdb.hosts) has; dataControl needs the role `admin`. The token goes into `Authorization: Bearer TOKEN`.]] },
  { code = "4102", title = "not logged in",
    text = [[
The admin API has got no token, or one that isn't valid. DATA/admin.token holds one.]] },
  { code = "4200", title = "a value that can't be used",
    text = [[
An argument, a field of the event, or a part of a task is not of its kind or out of its bounds. The
message says which, and what is expected. What was sent had no effect.]] },
  { code = "4202", title = "something is missing",
    text = [[
A field without which nothing can be done: an event's type, a task's op. The message names it.]] },
  { code = "5000", title = "processing failed",
    text = [[
A script raised an error or went over its limits, or the system itself failed. The message says
where. Nothing of the step stays; the event is a dead letter that can be tried again: `srvthreds
dead list`, `dead retry ID`.]] },
  { code = "5200", title = "a task failed",
    text = [[
An agent could not do what a message asked for; `cause`, if there is one, says why. What was done
before it of the same message is in the result.]] },
  { code = "5201", title = "not found",
    text = [[
There is nothing of that id, name or path, or a pattern that was to start or be spawned isn't active.]] },
  { code = "5202", title = "it exists already, or has changed",
    text = [[
Something of that id is there (a document), or it is in a state that doesn't allow it (a thred that
has ended).]] },
  { code = "5203", title = "no such thred",
    text = [[
The event names a thred (`thredId`) that has never been or has ended. `srvthreds threds list` shows
those that live.]] },
}
