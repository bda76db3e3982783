/* SPDX-License-Identifier: MIT
 *
 * The cases of tests/conformance/docdb/NAME.json against a document database. A file is a list of
 *   {"case": what it shows, "docs": documents of the collection c, then what is done:
 *      "match": a matcher                  "ids": of the documents it finds, in any order
 *      "update": values, for every document                             "after": all documents then, by id
 *      "task": {op, matcher?, values?, selector?, collector?}           "expect": its result
 *      "tasks": the whole list                                          "expect": the list of results
 *    "docs" may be the name of a set: {"set": name, "docs": documents}, which is no case
 *    "index": fields to be declared first
 *    "secantus": why SecantusDB's answer isn't MongoDB's: the case isn't asked there
 *    "error": [code, part of the message] instead; "unordered": lists of `expect` in any order}
 * created and modified are left out of documents, unless "stamps" is true, which shows what kind of text they hold.
 */
#ifndef SRVTHREDS_DOCDB_CONFORMANCE_H
#define SRVTHREDS_DOCDB_CONFORMANCE_H

/* Runs the files of the folder; prints what differs. The number of failed cases; *count those that were run. */
int docdb_conformance(const char *url, const char *folder, int *count);

#endif
