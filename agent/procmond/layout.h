/* The frame layout as JSON on stdout, see layout.c. It must never need a running agent. */
#ifndef PROCMOND_LAYOUT_H
#define PROCMOND_LAYOUT_H

void layout_print(void);

#endif
