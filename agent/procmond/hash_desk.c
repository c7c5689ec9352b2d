/*
 * The desk, see hash_desk.h. An executed file goes: identity (from the kernel's event, else asked of
 * the thread) → cache → thread → cache and frame. Rows that wait for the same identity share one
 * reading. What becomes of a frame is decided while it is still open, so a known hash rides in it.
 */
#include "hash_desk.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hash_frame.h"

/* While work is under way the loop looks for results this often. */
#define ROUND_MS 20

static bool is_same(const struct file_identity *a, const struct file_identity *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool hash_desk_open(struct hash_desk *desk, const struct scope *scope, const struct source *source)
{
	desk->scope = scope;
	desk->source = source;
	hash_cache_open(&desk->cache);
	desk->enabled = hash_worker_open(&desk->worker);
	return desk->enabled;
}

void hash_desk_close(struct hash_desk *desk)
{
	hash_worker_close(&desk->worker);
	free(desk->walk.pids);
	desk->walk.pids = NULL;
}

void hash_desk_set_policy(struct hash_desk *desk, const struct policy *policy)
{
	if (!desk->hash_bytes_max && policy->hash_bytes_max)
		desk->walk.executables_pending = true;
	if (!desk->memory_headers && policy->memory_headers)
		desk->walk.memory_pending = desk->memory_slots;
	desk->hash_bytes_max = policy->hash_bytes_max;
	desk->new_file_bytes_max = policy->new_file_bytes_max;
	desk->memory_headers = policy->memory_headers;
}

void hash_desk_set_trace(struct hash_desk *desk, uint32_t slot, uint32_t collect)
{
	uint64_t bit = 1ull << slot;

	desk->memory_slots &= ~bit;
	desk->walk.memory_pending &= ~bit;
	if (!(collect & FRAME_COLLECT_MEMORY))
		return;
	desk->memory_slots |= bit;
	if (desk->memory_headers)
		desk->walk.memory_pending |= bit;
}

static void set_path(struct hash_job *job, const struct frame_tlv *path)
{
	if (!path->bytes || path->length >= sizeof(job->path) || memchr(path->bytes, 0, path->length))
		return;
	memcpy(job->path, path->bytes, path->length);
	job->path[path->length] = 0;
}

struct hash_row *hash_desk_add(struct hash_desk *desk, enum hash_kind kind,
			       const struct frame_header *header)
{
	bool optional = kind == HASH_KIND_NEW_FILE || kind == HASH_KIND_MEMORY;
	struct hash_row *row = desk->rows;

	if (desk->used >= HASH_JOBS_MAX - (optional ? HASH_JOBS_FOR_EXECUTABLES : 0)) {
		desk->queue_full++;
		return NULL;
	}
	/* The first free row, so that a quiet machine touches few of them. */
	while (row->state != HASH_STATE_FREE)
		row++;
	desk->used++;
	row->state = HASH_STATE_READY;
	row->quiet = false;
	memset(&row->job, 0, sizeof(row->job));
	row->job.kind = kind;
	row->job.header = *header;
	row->job.slot = (uint32_t)(row - desk->rows);
	return row;
}

static void free_row(struct hash_desk *desk, struct hash_row *row)
{
	row->state = HASH_STATE_FREE;
	desk->used--;
}

static void refuse(struct hash_desk *desk, enum hash_outcome outcome,
		   const struct frame_header *header, const struct file_identity *identity)
{
	desk->refused = outcome;
	desk->refused_header = *header;
	desk->refused_known = identity != NULL;
	if (identity)
		desk->refused_identity = *identity;
}

/* A row with the same identity that is being read or will be. */
static bool is_under_way(const struct hash_desk *desk, const struct hash_row *except)
{
	for (size_t i = 0, seen = 0; i < HASH_JOBS_MAX && seen < desk->used; i++) {
		const struct hash_row *row = &desk->rows[i];

		seen += row->state != HASH_STATE_FREE;
		if (row != except && row->job.kind == HASH_KIND_EXECUTABLE &&
		    (row->state == HASH_STATE_READY || row->state == HASH_STATE_RUNNING) &&
		    is_same(&row->job.identity, &except->job.identity))
			return true;
	}
	return false;
}

/* The identity is known, the hash is not: read it, or wait for who reads it. */
static void want_hash(struct hash_desk *desk, struct hash_row *row)
{
	row->job.kind = HASH_KIND_EXECUTABLE;
	row->job.bytes_max = desk->hash_bytes_max;
	row->state = is_under_way(desk, row) ? HASH_STATE_WAITING : HASH_STATE_READY;
}

static bool identity_of(const struct frame_view *view, struct file_identity *identity)
{
	if (!frame_has(view, FRAME_TAG_DEV) || !frame_has(view, FRAME_TAG_INO) ||
	    !frame_has(view, FRAME_TAG_SIZE) || !frame_has(view, FRAME_TAG_MTIME_NS) ||
	    !frame_has(view, FRAME_TAG_CTIME_NS))
		return false;
	*identity = (struct file_identity){
		frame_get_u64(view, FRAME_TAG_DEV), frame_get_u64(view, FRAME_TAG_INO),
		frame_get_u64(view, FRAME_TAG_SIZE), frame_get_u64(view, FRAME_TAG_MTIME_NS),
		frame_get_u64(view, FRAME_TAG_CTIME_NS)};
	return true;
}

static void on_exec(struct hash_desk *desk, struct frame_writer *writer,
		    const struct frame_view *view)
{
	struct file_identity identity;
	bool known = identity_of(view, &identity);
	const struct hash_cache_row *hit = known ? hash_cache_find(&desk->cache, &identity) : NULL;
	struct hash_row *row;

	if (!desk->hash_bytes_max || frame_has(view, FRAME_TAG_SHA256))
		return;
	if (hit) {
		frame_bytes(writer, FRAME_TAG_SHA256, hit->sha256, HASH_BYTES);
		frame_bytes(writer, FRAME_TAG_BLAKE3, hit->blake3, HASH_BYTES);
		return;
	}
	/* What ran before is walked at a pace once the policy is known. */
	if (view->header.kind == FRAME_KIND_SNAPSHOT)
		return;
	if (known && identity.size > desk->hash_bytes_max) {
		refuse(desk, HASH_TOO_LARGE, &view->header, &identity);
		return;
	}
	row = hash_desk_add(desk, HASH_KIND_IDENTIFY, &view->header);
	if (!row) {
		refuse(desk, HASH_QUEUE_FULL, &view->header, known ? &identity : NULL);
		return;
	}
	set_path(&row->job, &view->tlv[FRAME_TAG_EXE]);
	row->job.parent_tgid = frame_get_u32(view, FRAME_TAG_PARENT_TGID);
	row->job.identity_known = known;
	if (known) {
		row->job.identity = identity;
		want_hash(desk, row);
	}
}

static void want_memory(struct hash_desk *desk, const struct frame_header *header, uint64_t slots,
			uint64_t not_before_ns)
{
	struct hash_row *row;

	if (!desk->source->slots_of ||
	    !(desk->source->slots_of(desk->source->self, header->tgid, header->start_ticks) & slots))
		return;
	row = hash_desk_add(desk, HASH_KIND_MEMORY, header);
	if (row)
		row->job.not_before_ns = not_before_ns;
	else
		refuse(desk, HASH_QUEUE_FULL, header, NULL);
}

static void on_create(struct hash_desk *desk, const struct frame_view *view)
{
	struct hash_row *row;
	struct clock_pair now;

	if (!desk->new_file_bytes_max ||
	    !(view->header.flags & (FRAME_FLAG_TRACED | FRAME_FLAG_WATCHED)))
		return;
	row = hash_desk_add(desk, HASH_KIND_NEW_FILE, &view->header);
	if (!row) {
		refuse(desk, HASH_QUEUE_FULL, &view->header, NULL);
		return;
	}
	now = clock_read_pair();
	set_path(&row->job, &view->tlv[FRAME_TAG_PATH]);
	row->job.bytes_max = desk->new_file_bytes_max;
	row->job.not_before_ns = now.boot_ns + HASH_NEW_FILE_DELAY_NS;
	row->job.made_known = frame_has(view, FRAME_TAG_DEV) && frame_has(view, FRAME_TAG_INO);
	if (row->job.made_known) {
		row->job.made_dev = frame_get_u64(view, FRAME_TAG_DEV);
		row->job.made_ino = frame_get_u64(view, FRAME_TAG_INO);
	}
	row->job.made_wall_ns = now.wall_ns - (now.boot_ns - view->header.ktime_ns);
}

void hash_desk_closing(struct hash_desk *desk, struct frame_writer *writer, const uint8_t *body,
		       size_t length)
{
	static struct frame_view view;
	uint16_t kind;

	memcpy(&kind, body + offsetof(struct frame_header, kind), sizeof(kind));
	if (!desk->enabled || (kind != FRAME_KIND_EXEC && kind != FRAME_KIND_SNAPSHOT &&
			       kind != FRAME_KIND_FILE_CREATE))
		return;
	/* Our own frame, but near the largest a frame can be nothing more fits. */
	if (length + 2 * (FRAME_TLV_BYTES + HASH_BYTES) > FRAME_LENGTH_MAX ||
	    frame_decode(body, length, &view))
		return;
	if (kind == FRAME_KIND_FILE_CREATE)
		on_create(desk, &view);
	else
		on_exec(desk, writer, &view);
	if (kind == FRAME_KIND_EXEC && desk->memory_headers && desk->memory_slots &&
	    view.header.flags & FRAME_FLAG_TRACED)
		want_memory(desk, &view.header, desk->memory_slots,
			    clock_boot_ns() + HASH_MEMORY_DELAY_NS);
}

void hash_desk_closed(struct hash_desk *desk, struct frame_writer *writer)
{
	struct hash_frame frame = {.header = &desk->refused_header, .outcome = desk->refused};

	if (desk->refused == HASH_OK)
		return;
	desk->refused = HASH_OK;
	if (desk->refused_known)
		frame.identity = &desk->refused_identity;
	hash_frame_send(writer, &frame);
}

static void send_row(struct frame_writer *writer, const struct hash_row *row,
		     const struct hash_result *result, const char *path)
{
	struct hash_frame frame = {.header = &row->job.header, .outcome = result->outcome,
				   .path = path, .sha256 = result->sha256, .blake3 = result->blake3,
				   .path_uncertain = result->path_uncertain};

	if (result->identity_known)
		frame.identity = &result->identity;
	hash_frame_send(writer, &frame);
}

/* One reading answers all that waited for it; a failure answers one, and the next one tries. */
static void answer_waiting(struct hash_desk *desk, struct frame_writer *writer,
			   const struct file_identity *identity, const struct hash_result *result)
{
	bool for_all = result->outcome == HASH_OK || result->outcome == HASH_TOO_LARGE;

	for (size_t i = 0; i < HASH_JOBS_MAX; i++) {
		struct hash_row *row = &desk->rows[i];

		if (row->state != HASH_STATE_WAITING || !is_same(&row->job.identity, identity))
			continue;
		if (!for_all) {
			row->state = HASH_STATE_READY;
			return;
		}
		if (!row->quiet)
			send_row(writer, row, result, NULL);
		free_row(desk, row);
	}
}

static void on_identified(struct hash_desk *desk, struct frame_writer *writer, struct hash_row *row,
			  struct hash_result *result)
{
	const struct hash_cache_row *hit;

	if (result->outcome == HASH_OK && result->identity.size > desk->hash_bytes_max)
		result->outcome = HASH_TOO_LARGE;
	if (result->outcome != HASH_OK) {
		if (!row->quiet || result->outcome == HASH_TOO_LARGE)
			send_row(writer, row, result, result->path);
		free_row(desk, row);
		return;
	}
	row->job.identity = result->identity;
	row->job.identity_known = true;
	hit = hash_cache_find(&desk->cache, &result->identity);
	if (!hit) {
		want_hash(desk, row);
		return;
	}
	if (!row->quiet) {
		memcpy(result->sha256, hit->sha256, HASH_BYTES);
		memcpy(result->blake3, hit->blake3, HASH_BYTES);
		send_row(writer, row, result, result->path);
	}
	free_row(desk, row);
}

static void on_result(struct hash_desk *desk, struct frame_writer *writer, struct hash_result *result)
{
	struct hash_row *row = &desk->rows[result->slot];
	struct file_identity identity = row->job.identity;

	switch (result->kind) {
	case HASH_KIND_IDENTIFY:
		on_identified(desk, writer, row, result);
		return;
	case HASH_KIND_MEMORY:
		memory_frame_send(writer, &row->job.header, result,
				  desk->worker.contents[result->content < 0 ? 0 : result->content]);
		hash_worker_release(&desk->worker, result);
		if (result->last)
			free_row(desk, row);
		return;
	default:
		break;
	}
	if (result->outcome == HASH_OK)
		hash_cache_put(&desk->cache, &result->identity, result->sha256, result->blake3);
	send_row(writer, row, result, result->path);
	free_row(desk, row);
	if (result->kind == HASH_KIND_EXECUTABLE)
		answer_waiting(desk, writer, &identity, result);
}

/* What happened just now goes before what ran already, and what is soon read before the rest. */
enum turn { TURN_FIRST, TURN_LARGE, TURN_QUIET, TURNS };

static bool is_large(const struct hash_row *row)
{
	return row->job.kind == HASH_KIND_EXECUTABLE && row->job.identity.size > HASH_LARGE_BYTES;
}

static enum turn turn_of(const struct hash_row *row)
{
	return row->quiet ? TURN_QUIET : is_large(row) ? TURN_LARGE : TURN_FIRST;
}

static bool is_large_running(const struct hash_desk *desk)
{
	for (size_t i = 0; i < HASH_JOBS_MAX; i++)
		if (desk->rows[i].state == HASH_STATE_RUNNING && is_large(&desk->rows[i]))
			return true;
	return false;
}

/* Runs what may run of the row at the cursor; false when the thread takes no more. */
static bool hand_row(struct hash_desk *desk, struct frame_writer *writer, uint64_t now_ns,
		     enum turn turn)
{
	struct hash_row *row = &desk->rows[desk->cursor];
	bool executable = row->job.kind == HASH_KIND_IDENTIFY || row->job.kind == HASH_KIND_EXECUTABLE;

	if (row->state != HASH_STATE_READY || turn_of(row) != turn || row->job.not_before_ns > now_ns)
		return true;
	if (executable && !desk->hash_bytes_max) {
		struct hash_result off = {.outcome = HASH_DISABLED};

		send_row(writer, row, &off, NULL);
		free_row(desk, row);
		return true;
	}
	/* At most one large file may lie before what happens next: a program that is gone by then
	   is never hashed. */
	if (turn == TURN_LARGE && is_large_running(desk))
		return true;
	if (turn == TURN_QUIET && row->job.kind == HASH_KIND_EXECUTABLE && !hash_worker_is_idle(&desk->worker))
		return true;
	if (!hash_worker_offer(&desk->worker, &row->job))
		return false;
	row->state = HASH_STATE_RUNNING;
	return true;
}

/* Hands out what is due, beginning where the last round stopped. */
static void hand_out(struct hash_desk *desk, struct frame_writer *writer, uint64_t now_ns)
{
	for (enum turn turn = TURN_FIRST; turn < TURNS; turn++)
		for (size_t i = 0; i < HASH_JOBS_MAX && desk->used; i++) {
			if (!hand_row(desk, writer, now_ns, turn))
				return;
			desk->cursor = (desk->cursor + 1) % HASH_JOBS_MAX;
		}
}

void hash_desk_pump(struct hash_desk *desk, struct frame_writer *writer, uint64_t now_ns)
{
	static struct hash_result result;

	if (!desk->enabled)
		return;
	for (int i = 0; i < HASH_WORKER_RESULTS && hash_worker_take(&desk->worker, &result); i++)
		on_result(desk, writer, &result);
	hash_walk_step(desk, now_ns);
	hand_out(desk, writer, now_ns);
}

int hash_desk_wait_ms(const struct hash_desk *desk, int wait_ms)
{
	bool busy = desk->enabled && (desk->used || desk->walk.pids || desk->walk.executables_pending ||
				      desk->walk.memory_pending);

	return busy && (wait_ms < 0 || wait_ms > ROUND_MS) ? ROUND_MS : wait_ms;
}
