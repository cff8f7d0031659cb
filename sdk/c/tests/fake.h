/* A host for tests that are compiled for this machine. */
#ifndef FAKE_H
#define FAKE_H

#include <setjmp.h>

#include "../gatehouse.h"

/* What look-ups are answered from, and what gh_call answers. */
extern gh_value fake_review, fake_answer;

/* What has been logged last, and at which level. */
extern char fake_log[256];
extern unsigned fake_level;

/* PANICS is whether the statement ends the plugin with this message. */
#define PANICS(message, statement) (setjmp(*fake_expect()) == 0 ? (statement, fake_survived()) : fake_panicked(message))
jmp_buf *fake_expect(void);
bool fake_survived(void);
bool fake_panicked(const char *message);

#endif
