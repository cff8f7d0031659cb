/* What the roles share. */
#include "host.h"

/* Why the plugin cannot decide the call at hand; no data when it can. */
static gh_text failure;

void gh_fail(const char *format, ...)
{
	va_list list;

	if (failure.data != NULL)
		return;
	va_start(list, format);
	failure = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
}

void gh_begin(void)
{
	gh_forget();
	failure.data = NULL;
}

bool gh_failed(gh_writer *w)
{
	if (failure.data == NULL)
		return false;
	gh_write_object(w);
	gh_write_key(w, gh_text_of("apiVersion"));
	gh_write_string(w, "v1");
	gh_write_key(w, gh_text_of("kind"));
	gh_write_string(w, "Status");
	gh_write_key(w, gh_text_of("status"));
	gh_write_string(w, "Failure");
	gh_write_key(w, gh_text_of("message"));
	gh_write_text(w, failure);
	gh_write_end(w);
	return true;
}

void gh_open_review(gh_writer *w, const char *version, const char *kind, const char *member)
{
	gh_write_object(w);
	gh_write_key(w, gh_text_of("apiVersion"));
	gh_write_string(w, version);
	gh_write_key(w, gh_text_of("kind"));
	gh_write_string(w, kind);
	gh_write_key(w, gh_text_of(member));
	gh_write_object(w);
}

gh_text gh_close_review(gh_writer *w)
{
	gh_write_end(w);
	gh_write_end(w);
	return gh_written(w);
}

void gh_write_list(gh_writer *w, const char *key, gh_writer *list)
{
	if (list->len == 0)
		return;
	gh_write_end(list);
	gh_write_key(w, gh_text_of(key));
	gh_write_json(w, gh_written(list));
}

void gh_write_member(gh_writer *w, const char *key, gh_text text)
{
	if (text.len == 0)
		return;
	gh_write_key(w, gh_text_of(key));
	gh_write_text(w, text);
}
