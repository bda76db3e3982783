/* SPDX-License-Identifier: MIT
 *
 * The open batch: filled by steps, handed to the writer when that is idle and the turn of the loop ends. What came while
 * the last commit ran is the next batch; there is no timer.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "queue/local.h"
#include "store/sqlite.h"

static void turn_ends(void *arg);

static void ask(struct sqlite *s)
{
	if (s->flushing || s->writing || s->closing)
		return;
	s->flushing = true;
	s->flush_ops = s->open->ops;
	runtime_defer(s->rt, turn_ends, s);
	s->refs++;
}

/* Others of this turn may still have something to add: it ends when nobody did. */
static void turn_ends(void *arg)
{
	struct sqlite *s = arg;
	if (s->flush_ops != s->open->ops && !s->closing) {
		s->flush_ops = s->open->ops;
		runtime_defer(s->rt, turn_ends, s);
		return;
	}
	s->flushing = false;
	if (!s->closing)
		sqlite_flush(s);
	sqlite_unref(s);
}

struct batch *sqlite_batch(struct sqlite *s)
{
	ask(s);
	return s->open;
}

int64_t sqlite_told(struct sqlite *s)
{
	if (batch_is_empty(s->open) && !s->writing)
		ask(s);
	s->open->told = true;
	return s->open->ticket;
}

bool sqlite_is_full(const struct sqlite *s)
{
	return s->open->steps >= s->options.batch_steps || s->open->arena.used >= s->options.batch_bytes;
}

static void write_here(struct sqlite *s, struct batch *batch)
{
	uint64_t begun_at = meters_now(&s->meters);
	int rc = sqlite_write(&s->writer, batch);
	if (rc == SQLITE_OK)
		meters_committed(&s->meters, begun_at);
	sqlite_written(s, rc);
}

void sqlite_flush(struct sqlite *s)
{
	if (s->writing || !s->ready || batch_is_empty(s->open))
		return;
	struct batch *batch = s->open;
	s->writing = batch;
	s->open = batch == &s->batches[0] ? &s->batches[1] : &s->batches[0];
	batch_clear(s->open, ++s->next_ticket, s->next_n);
	if (batch->ops == 0) {
		sqlite_written(s, SQLITE_OK);
	} else if (s->inline_) {
		write_here(s, batch);
	} else {
		uv_mutex_lock(&s->writer.mutex);
		s->writer.batch = batch;
		uv_cond_signal(&s->writer.wake);
		uv_mutex_unlock(&s->writer.mutex);
	}
}

void sqlite_written(struct sqlite *s, int rc)
{
	int64_t ticket = s->writing->ticket;
	s->writing = NULL;
	if (rc != SQLITE_OK) {
		sqlite_failed(s, rc, s->writer.message);
		return;
	}
	s->durable = ticket;
	s->durable_n = s->open->first_n - 1;
	FAULT(after_all_confirms);
	/* The writer goes on first: what the news of this commit brings is for the batch after. */
	if (s->inline_) {
		if (!batch_is_empty(s->open))
			ask(s);
	} else if (!s->closing) {
		sqlite_flush(s);
	}
	if (s->durable != ticket)
		return; /* the batch after had nothing to write and told of both */
	FAULT(before_ack);
	local_durable(s->local);
	if (s->listener.durable)
		s->listener.durable(s->listener.arg, ticket);
	FAULT(after_ack);
	local_room(s->local);
}

struct op_sql *sqlite_add_sql(struct sqlite *s, const char *sql)
{
	struct op_sql *op = batch_add(sqlite_batch(s), OP_SQL, sizeof *op);
	op->sql = sql;
	return op;
}

void sqlite_sql_int(struct op_sql *op, int64_t value)
{
	op->values[op->count++] = (struct sql_value){VALUE_INT, value, {NULL, 0}};
}

void sqlite_sql_text(struct op_sql *op, struct batch *b, struct span value)
{
	op->values[op->count++] = (struct sql_value){value.data ? VALUE_TEXT : VALUE_NULL, 0,
						     arena_copy(&b->arena, value)};
}

void sqlite_sql_blob(struct op_sql *op, struct batch *b, struct span value)
{
	op->values[op->count++] = (struct sql_value){value.data ? VALUE_BLOB : VALUE_NULL, 0,
						     arena_copy(&b->arena, value)};
}

static struct word *known(struct sqlite *s, struct dict *d, enum op_kind kind, struct span text)
{
	struct word *w = dict_find(d, text);
	if (w)
		return w;
	w = dict_add(d, text);
	w->at = runtime_now(s->rt);
	struct op_text *op = batch_add(sqlite_batch(s), kind, sizeof *op);
	op->n = w->n;
	op->at = w->at;
	op->text = arena_copy(&s->open->arena, text);
	return w;
}

/* Once a day is enough: housekeeping drops who was not there for many. */
void sqlite_alive(struct sqlite *s, struct word *who)
{
	int64_t now = runtime_now(s->rt);
	if (now - who->at < DURATION_DAY)
		return;
	who->at = now;
	struct op_sql *op = sqlite_add_sql(s, "update participant set at=? where n=?");
	sqlite_sql_int(op, now);
	sqlite_sql_int(op, who->n);
}

struct word *sqlite_participant(struct sqlite *s, struct span id)
{
	struct word *who = known(s, &s->participants, OP_PARTICIPANT, id);
	sqlite_alive(s, who);
	return who;
}

struct word *sqlite_word(struct sqlite *s, struct span text)
{
	return known(s, &s->words, OP_WORD, text);
}
