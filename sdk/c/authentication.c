/* Authentication: look-ups in its two reviews, and the answer that a plugin's function builds up. */
#include "host.h"

gh_text gh_authentication_token(void)
{
	return gh_field("/spec/token").text;
}

gh_text gh_authentication_method(void)
{
	return gh_field("/spec/method").text;
}

gh_text gh_authentication_path(void)
{
	return gh_field("/spec/path").text;
}

gh_text gh_authentication_query(void)
{
	return gh_field("/spec/query").text;
}

gh_text gh_authentication_host(void)
{
	return gh_field("/spec/host").text;
}

gh_text gh_authentication_remote_address(void)
{
	return gh_field("/spec/remoteAddress").text;
}

gh_value gh_authentication_header(const char *name, size_t index)
{
	return gh_field("/spec/headers/%s/%zu", name, index);
}

gh_value gh_authentication_certificate(size_t index)
{
	return gh_field("/spec/clientCertificates/%zu", index);
}

gh_value gh_authentication_audience(size_t index)
{
	return gh_field("/spec/audiences/%zu", index);
}

/* The lists are writers that have not begun when they are empty. In extra the values of the last key are still open. */
struct gh_authentication {
	bool accepted;
	gh_text username, uid, error, last_key;
	gh_writer groups, extra, audiences;
};

void gh_authentication_accept(gh_authentication *a, gh_text username)
{
	a->accepted = true;
	a->username = username;
}

void gh_authentication_uid(gh_authentication *a, gh_text uid)
{
	a->uid = uid;
}

static void append(gh_writer *list, gh_text text)
{
	if (list->len == 0)
		gh_write_array(list);
	gh_write_text(list, text);
}

void gh_authentication_group(gh_authentication *a, gh_text group)
{
	append(&a->groups, group);
}

void gh_authentication_for(gh_authentication *a, gh_text audience)
{
	append(&a->audiences, audience);
}

void gh_authentication_extra(gh_authentication *a, gh_text key, gh_text value)
{
	gh_writer *w = &a->extra;

	if (w->len == 0)
		gh_write_object(w);
	else if (!gh_equal(key, a->last_key))
		gh_write_end(w);
	if (w->depth == 1) {
		gh_write_key(w, key);
		gh_write_array(w);
		a->last_key = key;
	}
	gh_write_text(w, value);
}

void gh_authentication_refuse(gh_authentication *a, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	a->accepted = false;
	a->error = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
}

static void write_user(gh_writer *w, gh_authentication *a)
{
	gh_write_key(w, gh_text_of("user"));
	gh_write_object(w);
	gh_write_key(w, gh_text_of("username"));
	gh_write_text(w, a->username);
	gh_write_member(w, "uid", a->uid);
	gh_write_list(w, "groups", &a->groups);
	if (a->extra.depth == 2)
		gh_write_end(&a->extra);
	gh_write_list(w, "extra", &a->extra);
	gh_write_end(w);
}

gh_text gh_run_authentication(gh_authenticate *authenticate)
{
	gh_authentication a = { .accepted = false };
	gh_writer w = { 0 };
	bool token;

	gh_begin();
	authenticate(&a);
	if (gh_failed(&w))
		return gh_written(&w);
	token = gh_is(gh_field("/kind").text, "TokenReview");
	if (token)
		gh_open_review(&w, "authentication.k8s.io/v1", "TokenReview", "status");
	else
		gh_open_review(&w, "gatehouse.dev/v1", "RequestReview", "status");
	gh_write_key(&w, gh_text_of("authenticated"));
	gh_write_boolean(&w, a.accepted);
	if (a.accepted) {
		write_user(&w, &a);
		gh_write_list(&w, "audiences", &a.audiences);
	} else {
		gh_write_member(&w, "error", a.error);
	}
	return gh_close_review(&w);
}
