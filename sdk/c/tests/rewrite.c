/* Reads documents, each with its length in a line before it, and writes for each a line: its JSON written anew, or "invalid". */
#include <stdio.h>
#include <stdlib.h>

#include "../host.h"

static void rewrite(gh_writer *w, gh_value value)
{
	gh_iterator i = gh_iterate(value);

	switch (value.kind) {
	case GH_STRING:
		gh_write_text(w, value.text);
		return;
	case GH_ARRAY:
		gh_write_array(w);
		break;
	case GH_OBJECT:
		gh_write_object(w);
		break;
	default:
		gh_write_json(w, value.text);
		return;
	}
	while (gh_next(&i)) {
		if (value.kind == GH_OBJECT)
			gh_write_key(w, i.key);
		rewrite(w, i.value);
	}
	gh_write_end(w);
}

int main(void)
{
	size_t n;

	while (scanf("%zu", &n) == 1 && getchar() == '\n') {
		char *document = malloc(n + !n); /* exactly, so that a byte too far is seen */
		gh_writer w = { 0 };
		gh_value value;

		if (document == NULL || fread(document, 1, n, stdin) != n)
			return 2;
		gh_begin();
		value = gh_parse((gh_text){ document, n });
		if (gh_exists(value)) {
			rewrite(&w, value);
			printf("%.*s\n", GH_TEXT(gh_written(&w)));
		} else {
			puts("invalid");
		}
		free(document);
	}
	return 0;
}
