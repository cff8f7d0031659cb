/* Admission: look-ups in its review, and the answer that a plugin's function builds up. */
#include "host.h"

gh_text gh_admission_operation(void)
{
	return gh_field("/request/operation").text;
}

gh_text gh_admission_kind(void)
{
	return gh_field("/request/kind/kind").text;
}

gh_text gh_admission_group(void)
{
	return gh_field("/request/kind/group").text;
}

gh_text gh_admission_version(void)
{
	return gh_field("/request/kind/version").text;
}

gh_text gh_admission_resource(void)
{
	return gh_field("/request/resource/resource").text;
}

gh_text gh_admission_subresource(void)
{
	return gh_field("/request/subResource").text;
}

gh_text gh_admission_name(void)
{
	return gh_field("/request/name").text;
}

gh_text gh_admission_namespace(void)
{
	return gh_field("/request/namespace").text;
}

gh_text gh_admission_user(void)
{
	return gh_field("/request/userInfo/username").text;
}

bool gh_admission_dry_run(void)
{
	return gh_is_true(gh_field("/request/dryRun"));
}

typedef enum { UNDECIDED, ALLOWED, DENIED } verdict;

/* The lists are writers that have not begun when they are empty. */
struct gh_admission {
	verdict verdict;
	int code;
	const char *reason;
	gh_text message;
	gh_writer warnings, annotations, patch;
	bool labelled, annotated; /* has a patch made the map? */
};

void gh_admission_allow(gh_admission *a)
{
	a->verdict = ALLOWED;
}

static void deny(gh_admission *a, int code, const char *reason, gh_text message)
{
	a->verdict = DENIED;
	a->code = code;
	a->reason = reason;
	a->message = message;
}

void gh_admission_deny(gh_admission *a, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	deny(a, 403, "Forbidden", gh_format_list(GH_PLAIN, format, list));
	va_end(list);
}

void gh_admission_deny_with(gh_admission *a, int code, const char *reason, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	deny(a, code, reason, gh_format_list(GH_PLAIN, format, list));
	va_end(list);
}

void gh_admission_warn(gh_admission *a, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (a->warnings.len == 0)
		gh_write_array(&a->warnings);
	gh_write_text(&a->warnings, gh_format_list(GH_PLAIN, format, list));
	va_end(list);
}

void gh_admission_audit(gh_admission *a, const char *key, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (a->annotations.len == 0)
		gh_write_object(&a->annotations);
	gh_write_key(&a->annotations, gh_text_of(key));
	gh_write_text(&a->annotations, gh_format_list(GH_PLAIN, format, list));
	va_end(list);
}

static void patch(gh_admission *a, const char *op, gh_text value, gh_text pointer)
{
	gh_writer *w = &a->patch;

	if (w->len == 0)
		gh_write_array(w);
	gh_write_object(w);
	gh_write_key(w, gh_text_of("op"));
	gh_write_string(w, op);
	gh_write_key(w, gh_text_of("path"));
	gh_write_text(w, pointer);
	if (value.len > 0) {
		gh_write_key(w, gh_text_of("value"));
		gh_write_json(w, value);
	}
	gh_write_end(w);
}

void gh_admission_patch(gh_admission *a, const char *op, gh_text value, const char *pointer, ...)
{
	va_list list;

	va_start(list, pointer);
	patch(a, op, value, gh_format_list(GH_ELEMENT, pointer, list));
	va_end(list);
}

static void set_in(gh_admission *a, const char *map, bool *made, const char *key, gh_text value)
{
	gh_value old = gh_object("/metadata/%s/%s", map, key);
	gh_writer string = { 0 };

	if (old.kind == GH_STRING && gh_equal(old.text, value))
		return;
	if (!*made && gh_object("/metadata/%s", map).kind != GH_OBJECT)
		gh_admission_patch(a, "add", gh_text_of("{}"), "/metadata/%s", map);
	*made = true;
	gh_write_text(&string, value);
	gh_admission_patch(a, "add", gh_written(&string), "/metadata/%s/%s", map, key);
}

void gh_admission_set_label(gh_admission *a, const char *key, gh_text value)
{
	set_in(a, "labels", &a->labelled, key, value);
}

void gh_admission_set_annotation(gh_admission *a, const char *key, gh_text value)
{
	set_in(a, "annotations", &a->annotated, key, value);
}

static void write_base64(gh_writer *w, gh_text text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *bytes = (const unsigned char *)text.data;
	char *start = gh_alloc(text.len / 3 * 4 + 6), *to = start;

	*to++ = '"';
	for (size_t i = 0; i < text.len; i += 3) {
		size_t left = text.len - i;
		uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);

		*to++ = digits[three >> 18];
		*to++ = digits[three >> 12 & 63];
		*to++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[three & 63] : '=';
	}
	*to++ = '"';
	gh_write_json(w, (gh_text){ start, (size_t)(to - start) }); /* nothing in it has to be escaped */
}

static void write_denial(gh_writer *w, const gh_admission *a)
{
	gh_write_key(w, gh_text_of("status"));
	gh_write_object(w);
	gh_write_key(w, gh_text_of("code"));
	gh_write_integer(w, a->code);
	gh_write_key(w, gh_text_of("reason"));
	gh_write_string(w, a->reason);
	gh_write_key(w, gh_text_of("message"));
	gh_write_text(w, a->message);
	gh_write_end(w);
}

static void write_patch(gh_writer *w, gh_writer *list)
{
	if (list->len == 0)
		return;
	gh_write_end(list);
	gh_write_key(w, gh_text_of("patchType"));
	gh_write_string(w, "JSONPatch");
	gh_write_key(w, gh_text_of("patch"));
	write_base64(w, gh_written(list));
}

gh_text gh_run_admission(gh_admit *admit)
{
	gh_admission a = { .verdict = UNDECIDED };
	gh_writer w = { 0 };

	gh_begin();
	admit(&a);
	if (a.verdict == UNDECIDED)
		gh_fail("the plugin's function neither allowed nor denied");
	if (gh_failed(&w))
		return gh_written(&w);
	gh_open_review(&w, "admission.k8s.io/v1", "AdmissionReview", "response");
	gh_write_key(&w, gh_text_of("uid"));
	gh_write_text(&w, gh_field("/request/uid").text);
	gh_write_key(&w, gh_text_of("allowed"));
	gh_write_boolean(&w, a.verdict == ALLOWED);
	if (a.verdict == DENIED)
		write_denial(&w, &a);
	write_patch(&w, &a.patch);
	gh_write_list(&w, "warnings", &a.warnings);
	gh_write_list(&w, "auditAnnotations", &a.annotations);
	return gh_close_review(&w);
}
