/* Authorization: look-ups in its review, and the answer that a plugin's function builds up. */
#include "host.h"

gh_text gh_authorization_user(void)
{
	return gh_field("/spec/user").text;
}

gh_text gh_authorization_uid(void)
{
	return gh_field("/spec/uid").text;
}

gh_value gh_authorization_group(size_t index)
{
	return gh_field("/spec/groups/%zu", index);
}

gh_value gh_authorization_extra(const char *key, size_t index)
{
	return gh_field("/spec/extra/%s/%zu", key, index);
}

bool gh_authorization_for_resource(void)
{
	return gh_exists(gh_field("/spec/resourceAttributes"));
}

gh_text gh_authorization_verb(void)
{
	gh_value verb = gh_field("/spec/resourceAttributes/verb");

	return gh_exists(verb) ? verb.text : gh_field("/spec/nonResourceAttributes/verb").text;
}

gh_text gh_authorization_path(void)
{
	return gh_field("/spec/nonResourceAttributes/path").text;
}

gh_text gh_authorization_resource_group(void)
{
	return gh_field("/spec/resourceAttributes/group").text;
}

gh_text gh_authorization_version(void)
{
	return gh_field("/spec/resourceAttributes/version").text;
}

gh_text gh_authorization_resource(void)
{
	return gh_field("/spec/resourceAttributes/resource").text;
}

gh_text gh_authorization_subresource(void)
{
	return gh_field("/spec/resourceAttributes/subresource").text;
}

gh_text gh_authorization_namespace(void)
{
	return gh_field("/spec/resourceAttributes/namespace").text;
}

gh_text gh_authorization_name(void)
{
	return gh_field("/spec/resourceAttributes/name").text;
}

struct gh_authorization {
	bool allowed, denied;
	gh_text reason, error;
};

void gh_authorization_allow(gh_authorization *a)
{
	a->allowed = true;
	a->denied = false;
}

void gh_authorization_deny(gh_authorization *a)
{
	a->allowed = false;
	a->denied = true;
}

void gh_authorization_reason(gh_authorization *a, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	a->reason = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
}

void gh_authorization_error(gh_authorization *a, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	a->error = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
}

gh_text gh_run_authorization(gh_authorize *authorize)
{
	gh_authorization a = { .allowed = false };
	gh_writer w = { 0 };

	gh_begin();
	authorize(&a);
	if (gh_failed(&w))
		return gh_written(&w);
	gh_open_review(&w, "authorization.k8s.io/v1", "SubjectAccessReview", "status");
	gh_write_key(&w, gh_text_of("allowed"));
	gh_write_boolean(&w, a.allowed);
	gh_write_key(&w, gh_text_of("denied"));
	gh_write_boolean(&w, a.denied);
	gh_write_member(&w, "reason", a.reason);
	gh_write_member(&w, "evaluationError", a.error);
	return gh_close_review(&w);
}
