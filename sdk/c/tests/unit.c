/* Tests of the SDK that need no WebAssembly. Each prints what is not as it should be. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host.h"
#include "fake.h"

static int failed;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			failed = 1; \
			fprintf(stderr, "unit.c:%d: %s\n", __LINE__, #condition); \
		} \
	} while (0)

#define EQUAL(got, want) equal(__LINE__, got, want)
static void equal(int line, gh_text got, const char *want)
{
	if (gh_is(got, want))
		return;
	failed = 1;
	fprintf(stderr, "unit.c:%d: got  %.*s\nunit.c:%d: want %s\n", line, GH_TEXT(got), line, want);
}

static gh_text text(const char *string)
{
	return gh_text_of(string);
}

static gh_value json(const char *string)
{
	return gh_parse(text(string));
}

static void formats_know_their_directives(void)
{
	EQUAL(gh_format("plain"), "plain");
	EQUAL(gh_format("%s, %.*s, %c, %%", "a", 1, "bc", 'd'), "a, b, d, %");
	EQUAL(gh_format("%d %d %u %x", INT_MIN, 0, UINT_MAX, 0xbeefu), "-2147483648 0 4294967295 beef");
	EQUAL(gh_format("%lld %llu %zu %ld", LLONG_MIN, ULLONG_MAX, (size_t)7, -1L), "-9223372036854775808 18446744073709551615 7 -1");
	EQUAL(gh_format("%s", ""), "");
	EQUAL(gh_format("[%.*s]", 0, "x"), "[]");
	CHECK(gh_format("a%.*sb", 3, "x\0y").len == 5);
	CHECK(PANICS("a format has a directive that gatehouse.h does not know", (void)gh_format("%p", (void *)0)));
}

static void numbers_are_of_64_bits(void)
{
	static const struct {
		const char *json;
		bool ok;
		int64_t number;
	} cases[] = {
		{ "0", true, 0 }, { "-0", true, 0 }, { "42", true, 42 }, { "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775807", true, INT64_MAX }, { "9223372036854775808", false, 0 }, { "-9223372036854775809", false, 0 },
		{ "99999999999999999999", false, 0 }, { "1.0", false, 0 }, { "1e2", false, 0 }, { "\"1\"", false, 0 }, { "true", false, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t number = 0;

		if (gh_integer(json(cases[i].json), &number) == cases[i].ok && number == cases[i].number)
			continue;
		failed = 1;
		fprintf(stderr, "%s is read as %lld\n", cases[i].json, (long long)number);
	}
}

static void pointers_lead_into_values(void)
{
	gh_value v = json("{\"a/b\": [1, {\"m~n\": \"\\u00fc\"}], \"\": \"empty\", \"twice\": 1, \"twice\": 2, \"k\\u0065y\": null}");

	EQUAL(gh_get(v, "/a~1b/0").text, "1");
	EQUAL(gh_get(v, "/%s/%d/%s", "a/b", 1, "m~n").text, "\xc3\xbc");
	EQUAL(gh_get(v, "/").text, "empty");
	EQUAL(gh_get(v, "/twice").text, "2");
	CHECK(gh_get(v, "/key").kind == GH_NULL);
	CHECK(!gh_exists(gh_get(v, "/a~1b/2")));
	CHECK(!gh_exists(gh_get(v, "/a~1b/01")));
	CHECK(!gh_exists(gh_get(v, "/a~1b/-")));
	CHECK(!gh_exists(gh_get(v, "/a~1b/")));
	CHECK(!gh_exists(gh_get(v, "/a~1b/4294967296")));
	CHECK(!gh_exists(gh_get(v, "/twice/below")));
	CHECK(!gh_exists(gh_get((gh_value){ 0 }, "/a")));
	CHECK(PANICS("a JSON pointer begins with /", (void)gh_get(v, "a")));
	CHECK(PANICS("a JSON pointer has ~ without 0 or 1 behind it", (void)gh_get(v, "/~")));
	CHECK(PANICS("a JSON pointer has ~ without 0 or 1 behind it", (void)gh_get(v, "/~2")));
}

static gh_text nested(size_t depth)
{
	char *brackets = gh_alloc(2 * depth);

	memset(brackets, '[', depth);
	memset(brackets + depth, ']', depth);
	return (gh_text){ brackets, 2 * depth };
}

static void depth_is_bounded(void)
{
	CHECK(gh_exists(gh_parse(nested(512))));
	CHECK(!gh_exists(gh_parse(nested(513))));
	CHECK(!gh_exists(gh_parse(nested(1 << 20))));
}

static void json_is_written(void)
{
	gh_writer w = { 0 };

	gh_write_object(&w);
	gh_write_key(&w, text("a\"\\\x01\x7f"));
	gh_write_array(&w);
	gh_write_integer(&w, INT64_MIN);
	gh_write_boolean(&w, false);
	gh_write_json(&w, text("null"));
	gh_write_object(&w);
	gh_write_end(&w);
	gh_write_end(&w);
	gh_write_key(&w, text(""));
	gh_write_string(&w, "\xc3\xbc\n");
	gh_write_end(&w);
	EQUAL(gh_written(&w), "{\"a\\\"\\\\\\u0001\x7f\":[-9223372036854775808,false,null,{}],\"\":\"\xc3\xbc\\u000a\"}");
	CHECK(PANICS("gh_write_end without a gh_write_object or gh_write_array", gh_write_end(&w)));
	CHECK(PANICS("gh_write_key outside of an object", gh_write_key(&w, text("k"))));

	w = (gh_writer){ 0 };
	gh_write_array(&w);
	CHECK(PANICS("gh_write_key outside of an object", gh_write_key(&w, text("k"))));
	CHECK(PANICS("a gh_write_end is missing", (void)gh_written(&w)));
	for (int i = 1; i < 64; i++)
		gh_write_array(&w);
	CHECK(PANICS("JSON is nested more than 64 deep", gh_write_object(&w)));
}

static void what_is_no_utf_8_is_replaced(void)
{
	static const struct {
		const char *string, *want;
	} cases[] = {
		{ "\xff", "\"\xef\xbf\xbd\"" },                                       /* never in UTF-8 */
		{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                       /* longer than need be */
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },       /* half a pair */
		{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* beyond the last character */
		{ "a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },                     /* cut off */
		{ "\xf0\x9f\x9a\xaa", "\"\xf0\x9f\x9a\xaa\"" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		gh_writer w = { 0 };

		gh_write_string(&w, cases[i].string);
		EQUAL(gh_written(&w), cases[i].want);
	}
}

static void what_is_special_is_seen_at_any_place(void)
{
	static const char *const written[][2] = {
		{ "\"", "\\\"" }, { "\\", "\\\\" }, { "\x1f", "\\u001f" }, { " ", " " }, { "\x7f", "\x7f" }, { "\xff", "\xef\xbf\xbd" },
		{ "\xc3\xa4", "\xc3\xa4" },
	};
	const char *letters = "abcdefghijklmnopqrstuvwxyz";

	for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
		for (int before = 0; before < 26; before++) {
			gh_writer w = { 0 };

			gh_write_text(&w, gh_format("%.*s%s%s", before, letters, written[i][0], letters + before));
			equal(__LINE__, gh_written(&w), gh_format("\"%.*s%s%s\"%c", before, letters, written[i][1], letters + before, 0).data);
		}
	}
}

static void long_answers_of_the_host_are_whole(void)
{
	size_t n = 300000;
	char *long_text = gh_alloc(n);

	memset(long_text, 'x', n);
	fake_review = (gh_value){ GH_STRING, { long_text, n } };
	CHECK(gh_equal(gh_field_at(text("")).text, fake_review.text));
	fake_answer = (gh_value){ GH_OBJECT, { long_text, n } };
	CHECK(gh_equal(gh_call("echo", text("")).text, fake_answer.text));
	fake_answer = (gh_value){ (gh_kind)99, text("from a newer host") };
	CHECK(gh_call("echo", text("")).kind == GH_FAILURE);
	CHECK(PANICS("look-up of no slash: a JSON pointer begins with /", (void)gh_field("no slash")));
}

static void what_is_logged_is_formatted(void)
{
	gh_log(GH_WARNING, "%d of %s", 1, "two");
	CHECK(fake_level == 2 && strcmp(fake_log, "1 of two") == 0);
}

static void label_twice(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_set_label(a, "a/b", text("1"));
	gh_admission_set_label(a, "c", text("2"));
}

/* patch_of is the patch in the answer to a request with this object. */
static gh_text patch_of(const char *object)
{
	gh_text review = gh_format("{\"request\":{\"uid\":\"u\",\"object\":%s}}", object);
	char *kept = malloc(review.len); /* what gh_alloc gave ends with the call */
	gh_text answer;

	if (kept == NULL)
		exit(2);
	memcpy(kept, review.data, review.len);
	fake_review = gh_parse((gh_text){ kept, review.len });
	answer = gh_run_admission(label_twice);
	fake_review = (gh_value){ 0 };
	free(kept);
	return gh_get(gh_parse(answer), "/response/patch").text;
}

static void labels_are_patched_once(void)
{
	/* [{"op":"add","path":"/metadata/labels/c","value":"2"}] */
	EQUAL(patch_of("{\"metadata\":{\"labels\":{\"a/b\":\"1\"}}}"),
		"W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2xhYmVscy9jIiwidmFsdWUiOiIyIn1d");
	EQUAL(patch_of("{\"metadata\":{\"labels\":{\"a/b\":\"1\",\"c\":\"2\"}}}"), "");
	/* [{"op":"add","path":"/metadata/labels","value":{}}, and then both */
	EQUAL(patch_of("{}"), "W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2xhYmVscyIsInZhbHVlIjp7fX0seyJvcCI6ImFkZCIsInBhdGgiOiIvbWV0YWRhdGEv"
		"bGFiZWxzL2F+MWIiLCJ2YWx1ZSI6IjEifSx7Im9wIjoiYWRkIiwicGF0aCI6Ii9tZXRhZGF0YS9sYWJlbHMvYyIsInZhbHVlIjoiMiJ9XQ==");
}

static void say_nothing(gh_admission *a)
{
	(void)a;
}

static void say_two_things(gh_admission *a)
{
	gh_admission_allow(a);
	gh_fail("the first %s", "reason");
	gh_fail("the second");
}

static void who_cannot_decide_says_so(void)
{
	const char *status = "{\"apiVersion\":\"v1\",\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"%s\"}";
	char want[256];

	snprintf(want, sizeof want, status, "the plugin's function neither allowed nor denied");
	EQUAL(gh_run_admission(say_nothing), want);
	snprintf(want, sizeof want, status, "the first reason");
	EQUAL(gh_run_admission(say_two_things), want);
}

static void memory_ends_with_the_call_and_is_used_again(void)
{
	void *first;

	gh_begin();
	first = gh_alloc(100);
	for (int call = 0; call < 100; call++) {
		gh_begin();
		CHECK(gh_alloc(100) == first);
		memset(gh_alloc(1 << 20), 1, 1 << 20);
		for (int i = 0; i < 1000; i++) {
			char *p = gh_alloc((size_t)i);

			CHECK((uintptr_t)p % 16 == 0);
			memset(p, 2, (size_t)i);
		}
	}
	CHECK(PANICS("out of memory: 18446744073709551615 bytes cannot be had", (void)gh_alloc(SIZE_MAX)));
	gh_begin();
}

static gh_value kept;

static gh_text keep(gh_value settings)
{
	kept = gh_get(settings, "/key");
	return gh_exists(kept) ? GH_ACCEPTED : gh_format("key: is missing");
}

static gh_text configure(const char *settings)
{
	size_t n = strlen(settings);

	memcpy(gh_payload(n), settings, n);
	return gh_run_settings(keep, (uint32_t)n);
}

static void settings_stay(void)
{
	EQUAL(configure("{\"other\":1}"), "key: is missing");
	EQUAL(configure("{\"key\":\"v\\u0061lue\"}"), "");
	memset(gh_payload(100), 'x', 100);
	gh_begin();
	memset(gh_alloc(1000), 'x', 1000);
	EQUAL(kept.text, "value");
	CHECK(PANICS("the settings are no JSON object", (void)configure("[]")));
	CHECK(PANICS("the settings are no JSON object", (void)configure("{")));
}

int main(void)
{
	formats_know_their_directives();
	numbers_are_of_64_bits();
	pointers_lead_into_values();
	depth_is_bounded();
	json_is_written();
	what_is_no_utf_8_is_replaced();
	what_is_special_is_seen_at_any_place();
	long_answers_of_the_host_are_whole();
	what_is_logged_is_formatted();
	labels_are_patched_once();
	who_cannot_decide_says_so();
	memory_ends_with_the_call_and_is_used_again();
	settings_stay();
	return failed;
}
