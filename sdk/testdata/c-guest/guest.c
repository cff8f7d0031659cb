/* The vector guest of sdk/vectors, in C. */
#include "gatehouse.h"

static gh_text prefix;

static gh_text take(gh_value settings)
{
	for (gh_iterator i = gh_iterate(settings); gh_next(&i);) {
		if (!gh_is(i.key, "prefix"))
			return gh_format("unknown setting: %.*s", GH_TEXT(i.key));
	}
	gh_value given = gh_field("/prefix");
	if (gh_exists(given) && given.kind != GH_STRING)
		return gh_format("prefix: is no text");
	prefix = given.text;
	return GH_ACCEPTED;
}
GH_SETTINGS(take)

/* A word says what to do; a role has a table of them. */
#define WORD(words, text, argument) \
	do { \
		for (size_t i = 0; i < sizeof(words) / sizeof *(words); i++) { \
			if (gh_is(text, (words)[i].word)) { \
				(words)[i].act(argument); \
				return; \
			} \
		} \
		gh_fail("unknown vector: %.*s", GH_TEXT(text)); \
	} while (0)

static gh_text data(const char *name)
{
	return gh_object("/data/%s", name).text;
}

static void deny(gh_admission *a)
{
	gh_admission_deny(a, "no");
}

static void deny_status(gh_admission *a)
{
	gh_admission_deny_with(a, 422, "Invalid", "%.*s", GH_TEXT(data("message")));
}

static void warn(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_warn(a, "first");
	gh_admission_warn(a, "%.*s", GH_TEXT(data("warning")));
}

static void audit(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_audit(a, "decision", "allowed");
	gh_admission_audit(a, "text", "%.*s", GH_TEXT(data("text")));
}

static void label(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_set_label(a, "example.com/owner", data("owner"));
}

static void annotation(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_set_annotation(a, "example.com/~note", data("owner"));
}

static void patch(gh_admission *a)
{
	gh_writer text = { 0 };

	gh_admission_allow(a);
	gh_write_text(&text, data("text"));
	gh_admission_patch(a, "replace", gh_text_of("3"), "/data/replaced");
	gh_admission_patch(a, "remove", (gh_text){ 0 }, "/data/removed");
	gh_admission_patch(a, "add", gh_written(&text), "/data/%s", "added/a~b");
}

static void fields(gh_admission *a)
{
	static const char *const kinds[] = { "absent", "null", "boolean", "number", "string", "array", "object" };

	gh_admission_allow(a);
	for (unsigned i = 0;; i++) {
		gh_value pointer = gh_object("/pointers/%u", i), found;
		char *format;

		if (!gh_exists(pointer))
			return;
		/* A pointer that comes as a whole is no element to be escaped, so that it must be a format. */
		format = gh_alloc(pointer.text.len + 1);
		for (size_t j = 0; j < pointer.text.len; j++)
			format[j] = pointer.text.data[j];
		format[pointer.text.len] = '\0';
		found = gh_field_at(gh_text_of(format));
		gh_admission_warn(a, "%s%s%.*s", kinds[found.kind], gh_exists(found) ? " " : "", GH_TEXT(found.text));
	}
}
