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

static void labels(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_set_label(a, "example.com/owner", data("owner"));
	gh_admission_set_label(a, "example.com/team", data("owner"));
	gh_admission_set_annotation(a, "example.com/~note", data("owner"));
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

		if (!gh_exists(pointer))
			return;
		found = gh_field_at(pointer.text);
		gh_admission_warn(a, "%s%s%.*s", kinds[found.kind], gh_exists(found) ? " " : "", GH_TEXT(found.text));
	}
}

static void malformed(gh_admission *a)
{
	gh_admission_allow(a);
	gh_field("no slash");
}

static void describe(gh_admission *a)
{
	gh_text (*const facts[])(void) = { gh_admission_operation, gh_admission_group, gh_admission_version, gh_admission_kind,
		gh_admission_resource, gh_admission_subresource, gh_admission_name, gh_admission_namespace, gh_admission_user };

	gh_admission_allow(a);
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		gh_admission_warn(a, "%.*s", GH_TEXT(facts[i]()));
	gh_admission_warn(a, "%s", gh_admission_dry_run() ? "true" : "false");
}

static void settings(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_warn(a, "%.*s", GH_TEXT(prefix));
}

static void echo(gh_admission *a)
{
	gh_admission_allow(a);
	gh_admission_warn(a, "%.*s", GH_TEXT(gh_call("vectors.echo", data("text")).text));
}

static void unknown_call(gh_admission *a)
{
	gh_value answer = gh_call("vectors.none", gh_text_of("x"));

	gh_admission_allow(a);
	if (answer.kind == GH_FAILURE)
		gh_admission_warn(a, "%.*s", GH_TEXT(answer.text));
}

static void write_log(gh_admission *a)
{
	gh_admission_allow(a);
	gh_log(GH_DEBUG, "debug ü");
	gh_log(GH_INFO, "info");
	gh_log(GH_WARNING, "warning");
	gh_log(GH_ERROR, "error");
}

static void cannot(gh_admission *a)
{
	gh_admission_allow(a);
	gh_fail("the list is out of date: \"ü\"");
}

static void panic(gh_admission *a)
{
	(void)a;
	gh_panic("as it was told");
}

static void admit(gh_admission *a)
{
	static const struct {
		const char *word;
		gh_admit *act;
	} words[] = {
		{ "allow", gh_admission_allow }, { "deny", deny }, { "deny-status", deny_status }, { "warn", warn }, { "audit", audit },
		{ "label", label }, { "labels", labels }, { "annotation", annotation }, { "patch", patch }, { "fields", fields }, { "malformed", malformed },
		{ "describe", describe }, { "settings", settings }, { "echo", echo }, { "unknown-call", unknown_call },
		{ "log", write_log }, { "cannot", cannot }, { "trap", panic },
	};
	WORD(words, gh_admission_name(), a);
}
GH_ADMISSION(admit)

static void accept_jane(gh_authentication *a)
{
	gh_authentication_accept(a, gh_text_of("jane"));
	gh_authentication_uid(a, gh_text_of("u-1"));
	gh_authentication_group(a, gh_text_of("devs"));
	gh_authentication_group(a, gh_text_of("größe \"x\""));
	gh_authentication_extra(a, gh_text_of("example.com/team"), gh_text_of("a"));
	gh_authentication_extra(a, gh_text_of("example.com/team"), gh_text_of("b"));
}

static void accept_plain(gh_authentication *a)
{
	gh_authentication_accept(a, gh_text_of("jane"));
}

static void accept_audience(gh_authentication *a)
{
	gh_authentication_accept(a, gh_text_of("jane"));
	gh_authentication_for(a, gh_authentication_audience(0).text);
}

static void know_nothing(gh_authentication *a)
{
	(void)a;
}

static void refuse(gh_authentication *a)
{
	gh_authentication_refuse(a, "the key has expired");
}

static void describe_request(gh_authentication *a)
{
	gh_value value;

	gh_authentication_accept(a, gh_authentication_method());
	gh_authentication_group(a, gh_authentication_path());
	gh_authentication_group(a, gh_authentication_query());
	gh_authentication_group(a, gh_authentication_host());
	gh_authentication_group(a, gh_authentication_remote_address());
	for (size_t i = 0; gh_exists(value = gh_authentication_header("X-Vector", i)); i++)
		gh_authentication_group(a, value.text);
	for (size_t i = 0; gh_exists(value = gh_authentication_certificate(i)); i++)
		gh_authentication_group(a, value.text);
}

static void cannot_authenticate(gh_authentication *a)
{
	accept_plain(a);
	gh_fail("the list is out of date: \"ü\"");
}

static void panic_authenticating(gh_authentication *a)
{
	(void)a;
	gh_panic("as it was told");
}

static void authenticate(gh_authentication *a)
{
	static const struct {
		const char *word;
		gh_authenticate *act;
	} words[] = {
		{ "accept", accept_jane }, { "plain", accept_plain }, { "audience", accept_audience }, { "none", know_nothing },
		{ "wrong", refuse }, { "describe", describe_request }, { "cannot", cannot_authenticate }, { "trap", panic_authenticating },
	};
	gh_text token = gh_authentication_token();

	WORD(words, token.len > 0 ? token : gh_authentication_header("X-Vector", 0).text, a);
}
GH_AUTHENTICATION(authenticate)

static void allow_access(gh_authorization *a)
{
	gh_authorization_allow(a);
	gh_authorization_reason(a, "because: \"ü\"");
}

static void deny_access(gh_authorization *a)
{
	gh_authorization_deny(a);
	gh_authorization_reason(a, "because: \"ü\"");
}

static void no_opinion(gh_authorization *a)
{
	(void)a;
}

static void no_opinion_with_reason(gh_authorization *a)
{
	gh_authorization_reason(a, "not mine");
}

static void half_know(gh_authorization *a)
{
	gh_authorization_error(a, "half of it is unknown");
}

static void describe_access(gh_authorization *a)
{
	gh_text (*const facts[])(void) = { gh_authorization_resource_group, gh_authorization_version, gh_authorization_resource,
		gh_authorization_subresource, gh_authorization_namespace, gh_authorization_name, gh_authorization_path };
	gh_text list = gh_authorization_verb();
	gh_value group;

	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		list = gh_format("%.*s,%.*s", GH_TEXT(list), GH_TEXT(facts[i]()));
	for (size_t i = 0; gh_exists(group = gh_authorization_group(i)); i++)
		list = gh_format("%.*s,%.*s", GH_TEXT(list), GH_TEXT(group.text));
	gh_authorization_deny(a);
	gh_authorization_reason(a, "%.*s", GH_TEXT(list));
}

static void cannot_authorize(gh_authorization *a)
{
	gh_authorization_allow(a);
	gh_fail("the list is out of date: \"ü\"");
}

static void panic_authorizing(gh_authorization *a)
{
	(void)a;
	gh_panic("as it was told");
}

static void authorize(gh_authorization *a)
{
	static const struct {
		const char *word;
		gh_authorize *act;
	} words[] = {
		{ "allow", allow_access }, { "deny", deny_access }, { "none", no_opinion }, { "none-reason", no_opinion_with_reason },
		{ "error", half_know }, { "describe", describe_access }, { "cannot", cannot_authorize }, { "trap", panic_authorizing },
	};
	WORD(words, gh_authorization_user(), a);
}
GH_AUTHORIZATION(authorize)
