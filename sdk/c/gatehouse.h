/*
 * What a gatehouse plugin written in C needs: look-ups in the review at hand, JSON, settings, the server's log, and the
 * roles. A plugin is compiled together with the sources beside this header, as a reactor:
 *
 *	clang --target=wasm32-wasi -mexec-model=reactor -O2 -Wl,--stack-first,--strip-debug -Isdk/c -o name.wasm name.c sdk/c/[a-z]*.c
 *
 * and says at its end which roles it plays:
 *
 *	static void require_owner(gh_admission *a)
 *	{
 *		if (gh_exists(gh_object("/metadata/labels/owner")))
 *			gh_admission_allow(a);
 *		else
 *			gh_admission_deny(a, "set the label owner");
 *	}
 *	GH_ADMISSION(require_owner)
 *
 * A plugin runs one call at a time. What functions here return lives until the call is answered, or for good if they were
 * called while the settings were taken: there is nothing to free. They check what they are given: out of memory, or wrong
 * use, ends the plugin with a message (gh_panic), and a request that a plugin fails to judge is denied unless its
 * configuration says otherwise. Static variables stay between calls as long as the instance does: a cache, and nothing to
 * rely on.
 */
#ifndef GATEHOUSE_H
#define GATEHOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#error "gatehouse.h is for C11; its functions have no C++ linkage"
#endif

#define GH_FORMAT(string, first) __attribute__((format(printf, string, first)))

/* ---- texts ---- */

/* A text is UTF-8 of a length, not ended by a NUL, which it may contain. */
typedef struct {
	const char *data;
	size_t len;
} gh_text;

/* gh_text_of makes a text of a string; it points to the same bytes. */
gh_text gh_text_of(const char *string);

/* gh_equal and gh_is compare a text with another, and with a string. */
bool gh_equal(gh_text a, gh_text b);
bool gh_is(gh_text text, const char *string);

/*
 * Formats, here and below, know %s, %.*s, %c, %d, %u, %x and %%, and the numbers also with l, ll and z. A text is given to
 * %.*s with GH_TEXT: gh_format("image %.*s", GH_TEXT(image)).
 */
gh_text gh_format(const char *format, ...) GH_FORMAT(1, 2);
#define GH_TEXT(text) (int)(text).len, (text).data

/* gh_alloc gives n bytes, aligned for any type. It never returns NULL. */
void *gh_alloc(size_t n);

/* gh_panic ends the plugin's instance; the failure that it causes names the message. */
_Noreturn void gh_panic(const char *format, ...) GH_FORMAT(1, 2);

/* ---- values ---- */

typedef enum {
	GH_ABSENT,
	GH_NULL,
	GH_BOOLEAN,
	GH_NUMBER,
	GH_STRING,
	GH_ARRAY,
	GH_OBJECT,
	GH_FAILURE, /* only of gh_call: why there is no answer */
} gh_kind;

/*
 * A value has a kind and a text: a string's content without quotes and escapes; true, false, null or a number as JSON has it;
 * an array or object as JSON; nothing when there is nothing.
 */
typedef struct {
	gh_kind kind;
	gh_text text;
} gh_value;

bool gh_exists(gh_value value);  /* is there something, be it null? */
bool gh_is_true(gh_value value); /* is it the boolean true? */

/* gh_integer reads a number without fraction and exponent that 64 bits hold; false is for anything else. */
bool gh_integer(gh_value value, int64_t *number);

/*
 * gh_field looks up a JSON pointer (RFC 6901) in the review at hand. The server answers from the object it has already
 * decoded, which is far cheaper than parsing the review here. What %s and %.*s put in is one element of the path and is
 * escaped as such:
 *
 *	gh_field("/request/object/metadata/labels/%s", "app.kubernetes.io/name")
 *
 * A malformed pointer is a panic. While settings are taken the pointer leads into them.
 */
gh_value gh_field(const char *pointer, ...) GH_FORMAT(1, 2);

/* gh_field_at looks up a pointer as it is, with its escapes. */
gh_value gh_field_at(gh_text pointer);

/* gh_get looks a pointer up in an array or object, as gh_field does in the review. Of members of one name the last counts. */
gh_value gh_get(gh_value value, const char *pointer, ...) GH_FORMAT(2, 3);

/*
 * gh_next goes through the elements of an array and the members of an object, in their order; nothing else has any.
 *
 *	for (gh_iterator i = gh_iterate(keys); gh_next(&i);)
 *		use(i.key, i.value);  // the key of an array's element is empty
 */
typedef struct {
	gh_text key;
	gh_value value;
	const char *at, *end; /* not for users: what is left */
	bool object;
} gh_iterator;
gh_iterator gh_iterate(gh_value value);
bool gh_next(gh_iterator *i);

/* gh_parse makes a value of JSON. What is no JSON, or nested more than 512 deep, is GH_ABSENT. */
gh_value gh_parse(gh_text json);

/* ---- writing JSON ---- */

/*
 * A writer makes JSON; it begins as {0}. Commas and colons come by themselves; brackets that do not match are a panic.
 * Strings may hold anything: what is no UTF-8 becomes U+FFFD.
 */
typedef struct {
	char *data;
	size_t len, capacity;
	uint64_t objects; /* one bit for each open bracket: is it an object's? */
	unsigned depth;
	bool comma;
} gh_writer;
void gh_write_object(gh_writer *w); /* until gh_write_end */
void gh_write_array(gh_writer *w);  /* until gh_write_end */
void gh_write_end(gh_writer *w);
void gh_write_key(gh_writer *w, gh_text key);
void gh_write_text(gh_writer *w, gh_text string);
void gh_write_string(gh_writer *w, const char *string);
void gh_write_integer(gh_writer *w, int64_t number);
void gh_write_boolean(gh_writer *w, bool boolean);
void gh_write_json(gh_writer *w, gh_text json); /* JSON as it is */

/* gh_written is what a writer has made; everything must be closed. */
gh_text gh_written(const gh_writer *w);

/* ---- the server ---- */

typedef enum { GH_DEBUG, GH_INFO, GH_WARNING, GH_ERROR } gh_level;

/* gh_log writes one line to the server's log, which names the plugin. A call may log 16 KiB; more is dropped and counted. */
void gh_log(gh_level level, const char *format, ...) GH_FORMAT(2, 3);

/*
 * gh_call asks the server for something that is not the plugin's to have by itself. Which names exist and what they may be
 * asked is the server's configuration; an unknown one gives GH_FAILURE.
 */
gh_value gh_call(const char *name, gh_text payload);

/* ---- settings ---- */

/*
 * GH_SETTINGS names the function that takes the plugin's settings, an object, once before any review. What it returns is the
 * reason why they are not accepted, and GH_ACCEPTED that they are. Without it a plugin has no settings.
 */
typedef gh_text gh_take_settings(gh_value settings);
#define GH_ACCEPTED ((gh_text){ NULL, 0 })
#define GH_SETTINGS(take) GH_EXPORT("configure", gh_export_configure, gh_run_settings(take, n))

/* ---- roles ---- */

/*
 * The functions of all roles look up what they are asked; texts are empty where there is nothing. A role's function that
 * cannot decide says why by gh_fail: that is a failure, and no verdict, whatever else it has said. The first reason counts.
 */
void gh_fail(const char *format, ...) GH_FORMAT(1, 2);

/* ---- admission: GH_ADMISSION's function is asked about writes, and must allow or deny ---- */

gh_text gh_admission_operation(void); /* CREATE, UPDATE, DELETE or CONNECT */
gh_text gh_admission_kind(void);      /* such as Pod; group and version say which */
gh_text gh_admission_group(void);
gh_text gh_admission_version(void);
gh_text gh_admission_resource(void); /* the plural name in the path, such as pods */
gh_text gh_admission_subresource(void);
gh_text gh_admission_name(void); /* empty when an object is created whose name the server makes up */
gh_text gh_admission_namespace(void);
gh_text gh_admission_user(void);
bool gh_admission_dry_run(void);

/* Look-ups in the object, which is absent when one is deleted, and in the one that is stored. The pointer may be "". */
#define gh_object(...) gh_field("/request/object" __VA_ARGS__)
#define gh_old_object(...) gh_field("/request/oldObject" __VA_ARGS__)

typedef struct gh_admission gh_admission;
typedef void gh_admit(gh_admission *a);

void gh_admission_allow(gh_admission *a);

/* gh_admission_deny refuses with 403 Forbidden, _deny_with with another code and reason, such as 422 and Invalid. */
void gh_admission_deny(gh_admission *a, const char *format, ...) GH_FORMAT(2, 3);
void gh_admission_deny_with(gh_admission *a, int code, const char *reason, const char *format, ...) GH_FORMAT(4, 5);

/* gh_admission_warn adds a warning that the client shows its user. */
void gh_admission_warn(gh_admission *a, const char *format, ...) GH_FORMAT(2, 3);

/* gh_admission_audit adds an annotation to the request's audit event. */
void gh_admission_audit(gh_admission *a, const char *key, const char *format, ...) GH_FORMAT(3, 4);

/*
 * gh_admission_patch adds one JSON patch operation (RFC 6902). The pointer is within the object, its elements are escaped as
 * those of gh_field; value is JSON, and empty for a remove.
 */
void gh_admission_patch(gh_admission *a, const char *op, gh_text value, const char *pointer, ...) GH_FORMAT(4, 5);

/* These patch a label or annotation, unless it has that value already. */
void gh_admission_set_label(gh_admission *a, const char *key, gh_text value);
void gh_admission_set_annotation(gh_admission *a, const char *key, gh_text value);

#define GH_ADMISSION(admit) GH_BY_FIELD GH_EXPORT("admit", gh_export_admit, gh_run_admission(admit))

/*
 * ---- authentication: GH_AUTHENTICATION's function is asked who sent a request ----
 *
 * It has no opinion unless it accepts or refuses.
 */

gh_text gh_authentication_token(void); /* the bearer token; empty when the rest of the request is asked about */
gh_text gh_authentication_method(void);
gh_text gh_authentication_path(void);
gh_text gh_authentication_query(void);
gh_text gh_authentication_host(void);
gh_text gh_authentication_remote_address(void);

/* A header's name is canonical, as X-Api-Key; headers, certificates and audiences are absent from some index on. */
gh_value gh_authentication_header(const char *name, size_t index);
gh_value gh_authentication_certificate(size_t index); /* base64 of DER; nobody has verified it */
gh_value gh_authentication_audience(size_t index);

typedef struct gh_authentication gh_authentication;
typedef void gh_authenticate(gh_authentication *a);

/* gh_authentication_accept lets the request in as a user, of whom the next four say more. */
void gh_authentication_accept(gh_authentication *a, gh_text username);
void gh_authentication_uid(gh_authentication *a, gh_text uid);
void gh_authentication_group(gh_authentication *a, gh_text group);
void gh_authentication_extra(gh_authentication *a, gh_text key, gh_text value); /* a key's values one after the other */
void gh_authentication_for(gh_authentication *a, gh_text audience); /* who the credentials are good for */

/* gh_authentication_refuse says that these are credentials of the plugin's kind, and wrong. */
void gh_authentication_refuse(gh_authentication *a, const char *format, ...) GH_FORMAT(2, 3);

#define GH_AUTHENTICATION(authenticate) \
	GH_EXPORT("authenticate", gh_export_authenticate, gh_run_authentication(authenticate))

/*
 * ---- authorization: GH_AUTHORIZATION's function is asked whether a user may do something ----
 *
 * It has no opinion unless it allows or denies.
 */

gh_text gh_authorization_user(void);
gh_text gh_authorization_uid(void);
gh_value gh_authorization_group(size_t index); /* absent from some index on */
gh_value gh_authorization_extra(const char *key, size_t index);
gh_text gh_authorization_verb(void);
bool gh_authorization_for_resource(void); /* or else for a path */
gh_text gh_authorization_resource_group(void);
gh_text gh_authorization_version(void);
gh_text gh_authorization_resource(void);
gh_text gh_authorization_subresource(void);
gh_text gh_authorization_namespace(void);
gh_text gh_authorization_name(void);
gh_text gh_authorization_path(void);

typedef struct gh_authorization gh_authorization;
typedef void gh_authorize(gh_authorization *a);

void gh_authorization_allow(gh_authorization *a);
void gh_authorization_deny(gh_authorization *a);

/* gh_authorization_reason says why, whatever is decided, and _error what went wrong meanwhile. */
void gh_authorization_reason(gh_authorization *a, const char *format, ...) GH_FORMAT(2, 3);
void gh_authorization_error(gh_authorization *a, const char *format, ...) GH_FORMAT(2, 3);

#define GH_AUTHORIZATION(authorize) GH_EXPORT("authorize", gh_export_authorize, gh_run_authorization(authorize))

/* ---- what the macros above need; not for users ---- */

#ifdef __wasm__
#define GH_EXPORT(name, function, answer) \
	uint64_t function(uint32_t payload, uint32_t n); \
	__attribute__((export_name(name))) uint64_t function(uint32_t payload, uint32_t n) \
	{ \
		(void)payload, (void)n; \
		return gh_pack(answer); \
	}
/* The server need not write the review down: gh_field("") asks for all of it. */
#define GH_BY_FIELD \
	void gh_admit_by_field(void); \
	__attribute__((export_name("admit_by_field"))) void gh_admit_by_field(void) {}
#else /* a plugin's own tests: what the export would answer */
#define GH_BY_FIELD
#define GH_EXPORT(name, function, answer) \
	gh_text function(uint32_t n); \
	gh_text function(uint32_t n) \
	{ \
		(void)n; \
		return answer; \
	}
#endif
uint64_t gh_pack(gh_text answer);
gh_text gh_run_settings(gh_take_settings *take, uint32_t n);
gh_text gh_run_admission(gh_admit *admit);
gh_text gh_run_authentication(gh_authenticate *authenticate);
gh_text gh_run_authorization(gh_authorize *authorize);

#endif
