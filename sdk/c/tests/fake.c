#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host.h"

gh_value fake_review, fake_answer;
char fake_log[256];
unsigned fake_level;

static char waiting[1 << 20];
static size_t waiting_size;

/* answer does what section 5 of SPEC.md says of buffers. */
static uint64_t answer(gh_value value, char *buffer, uint32_t size)
{
	if (value.text.len > sizeof waiting)
		abort();
	if (value.text.len > size) {
		memcpy(waiting, value.text.data, value.text.len);
		waiting_size = value.text.len;
	} else if (value.text.len > 0) {
		memcpy(buffer, value.text.data, value.text.len);
	}
	return (uint64_t)value.kind << 32 | value.text.len;
}

uint64_t gh_host_field(const char *pointer, uint32_t n, char *buffer, uint32_t size)
{
	gh_value value = fake_review;
	size_t at = 0;

	if (n > 0 && pointer[0] != '/')
		return answer((gh_value){ GH_FAILURE, gh_text_of("a JSON pointer begins with /") }, buffer, size);
	while (at < n) { /* gh_get has formats, where % is no character; one element at a time is none */
		char element[256];
		size_t length = 0;

		for (at++; at < n && pointer[at] != '/'; at++) {
			if (pointer[at] == '~')
				element[length++] = pointer[++at] == '0' ? '~' : '/';
			else
				element[length++] = pointer[at];
		}
		value = gh_get(value, "/%.*s", (int)length, element);
	}
	return answer(value, buffer, size);
}

uint64_t gh_host_call(const char *name, uint32_t n, const char *payload, uint32_t m, char *buffer, uint32_t size)
{
	(void)name, (void)n, (void)payload, (void)m;
	return answer(fake_answer, buffer, size);
}

uint32_t gh_host_read(char *buffer, uint32_t size)
{
	if (waiting_size > size)
		return 0;
	memcpy(buffer, waiting, waiting_size);
	return (uint32_t)waiting_size;
}

void gh_host_log(uint32_t level, const char *text, uint32_t n)
{
	fake_level = level;
	snprintf(fake_log, sizeof fake_log, "%.*s", (int)n, text);
}

static jmp_buf expected;
static bool armed;
static char panicked[1100];

void gh_host_end(const char *text, size_t n)
{
	snprintf(panicked, sizeof panicked, "%.*s", (int)n, text);
	if (armed)
		longjmp(expected, 1);
	fprintf(stderr, "panic: %s\n", panicked);
	exit(3);
}

jmp_buf *fake_expect(void)
{
	armed = true;
	return &expected;
}

bool fake_survived(void)
{
	armed = false;
	fprintf(stderr, "there was no panic\n");
	return false;
}

bool fake_panicked(const char *message)
{
	armed = false;
	if (strcmp(panicked, message) == 0)
		return true;
	fprintf(stderr, "the panic was: %s\n", panicked);
	return false;
}
