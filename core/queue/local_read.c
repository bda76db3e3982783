/* SPDX-License-Identifier: MIT
 *
 * Pages of a topic from disk: after a start, for a late consumer, after an overflow.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/local_private.h"

struct row {
	int64_t source;
	struct delivery d; /* spans owned */
	bool of_event, emitted, late;
};

struct page {
	struct sqlite_read read;
	struct topic *topic;
	int64_t after, word, durable_n;
	bool engine, more; /* it ended before the topic did */
	size_t count;
	struct row rows[TOPIC_PAGE];
};

static const char events[] =
	"select n,n,at,null,null,source,body,json_extract(body,'$.id'),null,null from event indexed by event_open "
	"where outcome is null and source>0 and n>?1 union all ";
static const char messages[] =
	"select q.n,q.event,q.at,q.target,q.body,e.source,e.body,json_extract(e.body,'$.id'),q.tries,e.outcome=?4 from "
	"queue q left join event e on e.n=q.event where q.n>?1 and q.topic=?2 order by 1 limit ?3";

static void page_row(struct row *r, sqlite3_stmt *st)
{
	r->d.n = sqlite3_column_int64(st, 0);
	r->d.event = sqlite3_column_int64(st, 1);
	r->d.at = sqlite3_column_int64(st, 2);
	r->d.target = sqlite_column_copy(st, 3);
	r->d.message = sqlite_column_copy(st, 4);
	r->source = sqlite3_column_int64(st, 5);
	r->d.doc = sqlite_column_copy(st, 6);
	r->d.id = sqlite_column_copy(st, 7);
	r->d.tries = sqlite3_column_int(st, 8);
	r->late = sqlite3_column_int(st, 9) && r->d.target.data;
	r->emitted = r->d.event && r->source == 0;
	r->of_event = r->source > 0 && !r->d.target.data && !r->d.message.data;
}

static void page_work(struct sqlite_read *read, struct sqlite_reader *reader)
{
	struct page *page = (struct page *)read;
	char *sql = sqlite3_mprintf("%s%s", page->engine ? events : "", messages);
	sqlite3_stmt *st;
	read->rc = sqlite3_prepare_v2(reader->db, sql, -1, &st, NULL);
	sqlite3_free(sql);
	if (read->rc != SQLITE_OK)
		return;
	sqlite3_bind_int64(st, 1, page->after);
	sqlite3_bind_int64(st, 2, page->word);
	sqlite3_bind_int(st, 3, TOPIC_PAGE);
	sqlite3_bind_int(st, 4, OUTCOME_QUEUED);
	int rc = SQLITE_DONE;
	size_t size = 0;
	while (size < PAGE_BYTES && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct row *r = &page->rows[page->count++];
		page_row(r, st);
		size += r->d.doc.len + r->d.message.len;
	}
	page->more = size >= PAGE_BYTES || page->count == TOPIC_PAGE;
	read->rc = rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
	sqlite3_finalize(st);
}

static void row_free(struct row *r)
{
	free((char *)r->d.target.data);
	free((char *)r->d.message.data);
	free((char *)r->d.doc.data);
	free((char *)r->d.id.data);
}

static void take_row(struct topic *t, struct row *r)
{
	struct local_queue *q = t->q;
	struct pending *p = NULL;
	t->cursor = r->d.n;
	HASH_FIND(hh, q->by_n, &r->d.n, sizeof r->d.n, p);
	if (p)
		return; /* held back still: it comes by itself */
	r->d.source = dict_text(&q->s->participants, r->source);
	p = pending_new(q, t, &r->d);
	p->of_event = r->of_event;
	p->emitted = r->emitted;
	p->late = r->late;
	p->old = p->d.n < q->start_n && t->engine;
	q->old += p->old;
	topic_offer(t, p);
}

static void page_done(struct sqlite_read *read)
{
	struct page *page = (struct page *)read;
	struct sqlite *s = read->s;
	bool valid = read->epoch == s->epoch && !s->closed;
	if (valid) {
		struct topic *t = page->topic;
		t->reading = false;
		for (size_t i = 0; i < page->count && read->rc == SQLITE_OK; i++)
			take_row(t, &page->rows[i]);
		if (read->rc == SQLITE_OK && !page->more) {
			if (t->cursor < page->durable_n)
				t->cursor = page->durable_n;
			t->spilled = t->spill_last > t->cursor;
		}
		if (read->rc == SQLITE_OK)
			topic_kick(t); /* what it didn't see may have become durable meanwhile */
		if (!s->due_on)
			sqlite_due_arm(s);
	}
	for (size_t i = 0; i < page->count; i++)
		row_free(&page->rows[i]);
	free(page);
}

void topic_read(struct topic *t)
{
	struct sqlite *s = t->q->s;
	if ((t->ready || t->running) && t->bytes > s->options.queue_bytes / 4)
		return; /* what is here comes first */
	if (!t->spilled || t->reading || t->ready >= TOPIC_PAGE || !t->consumer.deliver || !s->ready || s->closing)
		return;
	if (t->cursor >= s->durable_n && t->spill_last > s->durable_n)
		return; /* what is missing isn't on disk yet */
	struct word *w = dict_find(&s->words, (struct span){t->name, t->len});
	struct page *page = xcalloc(1, sizeof *page);
	page->read.work = page_work;
	page->read.done = page_done;
	page->topic = t;
	page->engine = t->engine;
	page->after = t->cursor;
	page->word = w ? w->n : -1;
	page->durable_n = s->durable_n;
	t->reading = true;
	sqlite_read(s, &page->read);
}
