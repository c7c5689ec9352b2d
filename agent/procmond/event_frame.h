/*
 * Kernel events as frames. It guarantees that every kernel event becomes exactly one frame with
 * the number it has. It must never drop or reorder: numbers are how the agent finds loss.
 */
#ifndef PROCMOND_EVENT_FRAME_H
#define PROCMOND_EVENT_FRAME_H

#include <stddef.h>

#include "frame_write.h"
#include "policy.h"
#include "procmond.h"

void event_frame_send(struct frame_writer *writer, const void *event, size_t bytes);

/* Each room adds the tags of its kinds; false when the event is shorter than its kind. */
bool event_process_send(struct frame_writer *writer, const void *event, size_t bytes);
bool event_network_send(struct frame_writer *writer, const void *event, size_t bytes);
bool event_file_send(struct frame_writer *writer, const void *event, size_t bytes);

/* Which environment variables an exec may carry; none until it is called. */
void event_process_set_env_names(const struct policy *policy);
/* Copies the named variables, with NUL between; returns the bytes used. */
size_t event_process_filter_env(const uint8_t *env, size_t bytes, char *out, size_t out_bytes);
const char *event_process_partial_cause(uint32_t cause);

/* Finds the segments of a long event's data; false when they do not fit what came. */
bool event_long_open(const struct pm_long *event, size_t bytes, const uint8_t *data[PM_SEGMENTS]);

/* A path of segment `segment`, and its name in the segment after it where there is one. */
void event_path_send(struct frame_writer *writer, uint16_t tag, const struct pm_long *event,
		     const uint8_t *const data[PM_SEGMENTS], int segment);

/* Reverses leaf-first, NUL-separated components into a path; returns its length. */
size_t event_path_join(const uint8_t *walk, size_t bytes, bool rooted, char *path,
		       size_t path_bytes);

#endif
