/*
 * Kernel events as frames. It guarantees that every kernel event becomes exactly one frame with
 * the number it has. It must never drop or reorder: numbers are how the agent finds loss.
 */
#ifndef PROCMOND_EVENT_FRAME_H
#define PROCMOND_EVENT_FRAME_H

#include <stddef.h>

#include "frame_write.h"
#include "procmond.h"

void event_frame_send(struct frame_writer *writer, const void *event, size_t bytes);

/* Reverses leaf-first, NUL-separated components into a path; returns its length. */
size_t event_path_join(const uint8_t *walk, size_t bytes, bool rooted, char *path,
		       size_t path_bytes);

#endif
