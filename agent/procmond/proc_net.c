/*
 * The table of sockets and its reading from /proc/net, see proc_net.h. It guarantees bounded work: rows beyond the limit
 * are left out, and descriptors are searched only when something new appeared. It must never open
 * a descriptor of another process, only read its name.
 */
#include "proc_net.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A busy server's table; more would make the polling itself the load. */
#define ROWS_MAX 16384
/* A process may be younger than its socket's row, seen by another look; a few looks settle that. */
#define SEARCHES_MAX 3

static bool parse_address(const char *text, uint16_t family, uint8_t *address)
{
	int words = family == 2 ? 1 : 4;

	/* Each word is the network-order word printed as a native number. */
	for (int i = 0; i < words; i++) {
		uint32_t word;

		if (sscanf(text + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(address + 4 * i, &word, sizeof(word));
	}
	return true;
}

bool net_row_parse(const char *line, uint16_t family, struct net_row *row, int *state)
{
	char local[33], remote[33];
	unsigned lport, rport, st;
	unsigned long long inode;
	size_t digits = family == 2 ? 8 : 32;

	memset(row, 0, sizeof(*row));
	if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x %*s %*s %*s %*u %*u %llu",
		   local, &lport, remote, &rport, &st, &inode) != 6)
		return false;
	if (strlen(local) != digits || strlen(remote) != digits || lport > 65535 || rport > 65535)
		return false;
	row->family = family;
	row->lport = (uint16_t)lport;
	row->rport = (uint16_t)rport;
	row->inode = row->key = inode;
	*state = (int)st;
	return parse_address(local, family, row->laddr) && parse_address(remote, family, row->raddr);
}

void net_table_add(struct net_table *next, const struct net_row *row)
{
	if (next->used >= ROWS_MAX)
		return;
	if (next->used == next->room) {
		size_t room = next->room ? 2 * next->room : 256;
		struct net_row *grown = realloc(next->rows, room * sizeof(*grown));

		if (!grown)
			return;
		next->rows = grown;
		next->room = room;
	}
	next->rows[next->used++] = *row;
}

static void read_table(struct net_table *table, const char *path, uint16_t family, uint8_t protocol)
{
	int wanted = protocol == NET_TCP ? NET_STATE_LISTEN : NET_STATE_CLOSED;
	FILE *file = fopen(path, "re");
	char line[512];
	struct net_row row;
	int state;

	if (!file)
		return;
	while (fgets(line, sizeof(line), file) && table->used < ROWS_MAX) {
		if (!net_row_parse(line, family, &row, &state))
			continue;
		row.protocol = protocol;
		row.is_listening = state == wanted;
		/* Inode 0: the process has closed it already, nobody to name. */
		if (row.inode && (row.is_listening || state == NET_STATE_ESTABLISHED))
			net_table_add(table, &row);
	}
	fclose(file);
}

void net_table_read_proc(struct net_table *next)
{
	read_table(next, "/proc/net/tcp", 2, NET_TCP);
	read_table(next, "/proc/net/tcp6", 10, NET_TCP);
	read_table(next, "/proc/net/udp", 2, NET_UDP);
	read_table(next, "/proc/net/udp6", 10, NET_UDP);
}

static int by_key(const void *a, const void *b)
{
	const struct net_row *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static int by_inode(const void *a, const void *b)
{
	const struct net_row *x = *(struct net_row *const *)a, *y = *(struct net_row *const *)b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

struct net_row *net_table_find(const struct net_table *table, uint64_t key)
{
	struct net_row wanted = {.key = key};

	if (!table->used)
		return NULL;
	return bsearch(&wanted, table->rows, table->used, sizeof(wanted), by_key);
}

static void sort(struct net_table *table)
{
	if (table->used)
		qsort(table->rows, table->used, sizeof(*table->rows), by_key);
}

/* What of the old table is not in the new one: kept for a while, then gone. */
static void part_with(struct net_table *table, struct net_table *next, unsigned patience)
{
	size_t present = next->used;

	next->gone = table->used ? malloc(table->used * sizeof(*next->gone)) : NULL;
	for (size_t i = 0; i < table->used; i++) {
		struct net_row *row = &table->rows[i];
		struct net_table there = {.rows = next->rows, .used = present};

		if (net_table_find(&there, row->key))
			continue;
		row->fresh = false;
		if (row->missed++ < patience)
			net_table_add(next, row);
		else if (next->gone)
			next->gone[next->gone_used++] = *row;
	}
	sort(next);
}

static void keep_owner(const struct net_table *table, struct net_row *row, const uint8_t *ports)
{
	const struct net_row *before = net_table_find(table, row->key);

	row->accepted = row->protocol == NET_TCP && !row->is_listening &&
			ports[row->lport / 8] & 1 << row->lport % 8;
	row->fresh = !before || before->is_listening != row->is_listening;
	row->searches = 1;
	if (row->fresh)
		return;
	row->fresh = !before->owner && before->searches < SEARCHES_MAX;
	row->searches = (uint8_t)(before->searches + row->fresh);
	row->accepted = before->accepted;
	row->told = before->told;
	row->owner = before->owner;
	row->header = before->header;
	memcpy(row->comm, before->comm, sizeof(row->comm));
}

size_t net_table_replace(struct net_table *table, struct net_table *next, unsigned patience)
{
	static uint8_t ports[65536 / 8];

	memset(ports, 0, sizeof(ports));
	for (size_t i = 0; i < next->used; i++)
		if (next->rows[i].protocol == NET_TCP && next->rows[i].is_listening)
			ports[next->rows[i].lport / 8] |= (uint8_t)(1 << next->rows[i].lport % 8);
	sort(next);
	for (size_t i = 0; i < next->used; i++)
		keep_owner(table, &next->rows[i], ports);
	part_with(table, next, patience);
	next->fresh = next->used ? malloc(next->used * sizeof(struct net_row *)) : NULL;
	for (size_t i = 0; next->fresh && i < next->used; i++)
		if (next->rows[i].fresh)
			next->fresh[next->fresh_used++] = &next->rows[i];
	if (next->fresh_used)
		qsort(next->fresh, next->fresh_used, sizeof(struct net_row *), by_inode);
	net_table_free(table);
	*table = *next;
	return table->fresh_used;
}

void net_table_free(struct net_table *table)
{
	free(table->rows);
	free(table->fresh);
	free(table->gone);
	*table = (struct net_table){0};
}

static struct net_row *find_fresh(const struct net_table *table, uint64_t inode)
{
	struct net_row wanted = {.inode = inode}, *key = &wanted, **found;

	if (!table->fresh_used || !inode)
		return NULL;
	found = bsearch(&key, table->fresh, table->fresh_used, sizeof(key), by_inode);
	return found ? *found : NULL;
}

void net_table_claim(struct net_table *table, uint32_t pid)
{
	char path[320], target[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		struct net_row *row;
		ssize_t length;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%u/fd/%s", pid, entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		if (length <= 8 || strncmp(target, "socket:[", 8))
			continue;
		target[length] = 0;
		row = find_fresh(table, strtoull(target + 8, NULL, 10));
		if (row && !row->owner)
			row->owner = pid;
	}
	closedir(dir);
}
