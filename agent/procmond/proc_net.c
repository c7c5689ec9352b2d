/*
 * Reads /proc/net/tcp and tcp6, see proc_net.h. It guarantees bounded work: rows beyond the limit
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

#define STATE_ESTABLISHED 1
#define STATE_LISTEN 10
/* A busy server's table; more would make the polling itself the load. */
#define ROWS_MAX 16384

struct listening {
	uint8_t ports[65536 / 8];
};

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
	row->inode = inode;
	*state = (int)st;
	return parse_address(local, family, row->laddr) && parse_address(remote, family, row->raddr);
}

static void add_row(struct net_table *table, const struct net_row *row)
{
	if (table->used == table->room) {
		size_t room = table->room ? 2 * table->room : 256;
		struct net_row *grown = realloc(table->rows, room * sizeof(*grown));

		if (!grown)
			return;
		table->rows = grown;
		table->room = room;
	}
	table->rows[table->used++] = *row;
}

static void read_table(struct net_table *table, const char *path, uint16_t family,
		       struct listening *listening)
{
	FILE *file = fopen(path, "re");
	char line[512];
	struct net_row row;
	int state;

	if (!file)
		return;
	while (fgets(line, sizeof(line), file) && table->used < ROWS_MAX) {
		if (!net_row_parse(line, family, &row, &state))
			continue;
		if (state == STATE_LISTEN)
			listening->ports[row.lport / 8] |= (uint8_t)(1 << row.lport % 8);
		/* Inode 0: the process has closed it already, nobody to name. */
		else if (state == STATE_ESTABLISHED && row.inode)
			add_row(table, &row);
	}
	fclose(file);
}

static int by_inode(const void *a, const void *b)
{
	const struct net_row *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static struct net_row *find(const struct net_table *table, uint64_t inode)
{
	struct net_row key = {.inode = inode};

	if (!table->used)
		return NULL;
	return bsearch(&key, table->rows, table->used, sizeof(key), by_inode);
}

size_t net_table_poll(struct net_table *table)
{
	static struct listening listening;
	struct net_table next = {0};
	size_t fresh = 0;

	memset(&listening, 0, sizeof(listening));
	read_table(&next, "/proc/net/tcp", 2, &listening);
	read_table(&next, "/proc/net/tcp6", 10, &listening);
	if (next.used)
		qsort(next.rows, next.used, sizeof(*next.rows), by_inode);
	for (size_t i = 0; i < next.used; i++) {
		struct net_row *row = &next.rows[i];

		row->accepted = listening.ports[row->lport / 8] & 1 << row->lport % 8;
		row->fresh = !find(table, row->inode);
		fresh += row->fresh;
	}
	free(table->rows);
	*table = next;
	return fresh;
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
		row = find(table, strtoull(target + 8, NULL, 10));
		if (row && row->fresh && !row->owner)
			row->owner = pid;
	}
	closedir(dir);
}
