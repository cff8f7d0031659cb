/* A gatehouse plugin: who sends a known key in the header X-Api-Key is let in as its user. */
#include "gatehouse.h"
#include "sha256.h"

typedef struct {
	uint8_t digest[sha256_size];
	gh_text user;
	gh_value groups;
} key;

/* The keys of the settings. They stay as long as the instance does. */
static struct {
	key *list;
	size_t n;
} keys;

static int hexadecimal(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(gh_value value, uint8_t digest[sha256_size])
{
	if (value.kind != GH_STRING || value.text.len != 2 * sha256_size)
		return false;
	for (size_t i = 0; i < sha256_size; i++) {
		int high = hexadecimal(value.text.data[2 * i]), low = hexadecimal(value.text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool are_texts(gh_value list)
{
	if (list.kind != GH_ARRAY)
		return false;
	for (gh_iterator i = gh_iterate(list); gh_next(&i);) {
		if (i.value.kind != GH_STRING)
			return false;
	}
	return true;
}

/* take_key reads one key of the settings; what it returns is what is wrong with it. */
static const char *take_key(gh_value value, key *k)
{
	bool has_digest = false;

	*k = (key){ .user = { NULL, 0 } };
	for (gh_iterator i = gh_iterate(value); gh_next(&i);) {
		if (gh_is(i.key, "sha256")) {
			if (!(has_digest = read_digest(i.value, k->digest)))
				return "sha256 is not 64 digits of 0-9 and a-f";
		} else if (gh_is(i.key, "user")) {
			if (i.value.kind != GH_STRING)
				return "user is no text";
			k->user = i.value.text;
		} else if (gh_is(i.key, "groups")) {
			if (!are_texts(i.value))
				return "groups is no list of texts";
			k->groups = i.value;
		} else {
			return "only sha256, user and groups are known";
		}
	}
	if (!has_digest)
		return "sha256 is missing";
	return k->user.len == 0 ? "user is missing" : NULL;
}

static gh_text take(gh_value settings)
{
	gh_value list = gh_get(settings, "/keys");
	size_t n = 0;

	for (gh_iterator i = gh_iterate(settings); gh_next(&i);) {
		if (!gh_is(i.key, "keys"))
			return gh_format("unknown setting: %.*s", GH_TEXT(i.key));
	}
	if (list.kind != GH_ARRAY)
		return gh_format("keys: is no list");
	for (gh_iterator i = gh_iterate(list); gh_next(&i);)
		n++;
	keys.list = gh_alloc(n * sizeof *keys.list);
	for (gh_iterator i = gh_iterate(list); gh_next(&i); keys.n++) {
		const char *wrong = take_key(i.value, &keys.list[keys.n]);

		if (wrong != NULL)
			return gh_format("keys[%zu]: %s", keys.n, wrong);
	}
	return GH_ACCEPTED;
}
GH_SETTINGS(take)

/* find looks at all keys, and at all of each, so that the time it takes tells nothing of them. */
static const key *find(gh_text given)
{
	uint8_t digest[sha256_size];
	const key *found = NULL;

	sha256(given.data, given.len, digest);
	for (size_t i = 0; i < keys.n; i++) {
		volatile uint8_t difference = 0;

		for (size_t j = 0; j < sha256_size; j++)
			difference |= keys.list[i].digest[j] ^ digest[j];
		if (difference == 0)
			found = &keys.list[i];
	}
	return found;
}

static void authenticate(gh_authentication *a)
{
	gh_value given = gh_authentication_header("X-Api-Key", 0);
	const key *k;

	if (!gh_exists(given))
		return;
	if (gh_exists(gh_authentication_header("X-Api-Key", 1))) {
		gh_authentication_refuse(a, "there is more than one X-Api-Key");
		return;
	}
	k = find(given.text);
	if (k == NULL) {
		gh_authentication_refuse(a, "the X-Api-Key is not known");
		return;
	}
	gh_authentication_accept(a, k->user);
	for (gh_iterator i = gh_iterate(k->groups); gh_next(&i);)
		gh_authentication_group(a, i.value.text);
}
GH_AUTHENTICATION(authenticate)
