/* Memory: what is allocated for one call is freed when the next begins. */
#include <stdalign.h>
#include <stdlib.h>

#include "host.h"

enum { chunk_size = 16 << 10 };

typedef struct chunk {
	struct chunk *next;
	size_t size, used;
	alignas(max_align_t) char bytes[];
} chunk;

/* The chunk that is being filled, and behind it the full ones. The first of a call stays for the next. */
static chunk *chunks;

static struct {
	char *data;
	size_t size;
} payload;

static void grow(size_t least)
{
	size_t size = least > chunk_size ? least : chunk_size;
	chunk *c = size > SIZE_MAX - sizeof *c ? NULL : malloc(sizeof *c + size);

	if (c == NULL)
		gh_panic("out of memory: %zu bytes more cannot be had", least);
	*c = (chunk){ .next = chunks, .size = size };
	chunks = c;
}

static size_t aligned(size_t n)
{
	const size_t a = alignof(max_align_t);

	if (n > SIZE_MAX - a)
		gh_panic("out of memory: %zu bytes cannot be had", n);
	return (n + a - 1) / a * a;
}

void *gh_alloc(size_t n)
{
	char *start;

	n = aligned(n);
	if (chunks == NULL || n > chunks->size - chunks->used)
		grow(n);
	start = chunks->bytes + chunks->used;
	chunks->used += n;
	return start;
}

gh_span gh_spare(void)
{
	if (chunks == NULL || chunks->size - chunks->used < 512)
		grow(chunk_size);
	return (gh_span){ chunks->bytes + chunks->used, chunks->size - chunks->used };
}

void gh_take(size_t n)
{
	(void)gh_alloc(n);
}

void gh_forget(void)
{
	while (chunks != NULL && (chunks->next != NULL || chunks->size > chunk_size)) {
		chunk *next = chunks->next;

		free(chunks);
		chunks = next;
	}
	if (chunks != NULL)
		chunks->used = 0;
}

void gh_keep(void)
{
	chunks = NULL;
}

char *gh_payload(size_t n)
{
	if (n > payload.size) {
		/* What was there is the last call's: nothing need be copied. */
		free(payload.data);
		payload.data = malloc(n);
		payload.size = payload.data == NULL ? 0 : n;
	}
	return payload.data;
}

gh_text gh_payload_text(size_t n)
{
	return (gh_text){ payload.data, n <= payload.size ? n : 0 };
}
