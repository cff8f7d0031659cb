/* JSON: look-ups in it, and writing it. */
#include <string.h>

#include "host.h"

enum { deepest = 512 };

/* ---- reading: each function that takes a cursor moves it over what it has read ---- */

typedef struct {
	const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

/* accept reads the character, and the white space after it, if it comes next. */
static bool accept(cursor *c, char character)
{
	if (c->at == c->end || *c->at != character)
		return false;
	c->at++;
	skip_space(c);
	return true;
}

static bool read_digits(cursor *c)
{
	const char *start = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > start;
}

static bool one_of(cursor *c, const char *characters)
{
	if (c->at == c->end || *c->at == '\0' || strchr(characters, *c->at) == NULL)
		return false;
	c->at++;
	return true;
}

static bool read_number(cursor *c)
{
	(void)one_of(c, "-");
	if (!one_of(c, "0") && !read_digits(c))
		return false;
	if (one_of(c, ".") && !read_digits(c))
		return false;
	if (one_of(c, "eE")) {
		(void)one_of(c, "+-");
		return read_digits(c);
	}
	return true;
}

static int hexadecimal(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* code_unit reads the four digits of a \u escape; -1 when they are none. */
static int code_unit(const char *at, const char *end)
{
	int unit = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hexadecimal(at[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* read_string reads a string; raw is what is between its quotes. */
static bool read_string(cursor *c, gh_text *raw)
{
	if (!one_of(c, "\""))
		return false;
	for (raw->data = c->at; c->at < c->end; c->at++) {
		if (*c->at == '"') {
			raw->len = (size_t)(c->at++ - raw->data);
			return true;
		}
		if ((unsigned char)*c->at < 0x20)
			return false;
		if (*c->at != '\\')
			continue;
		c->at++;
		if (c->at < c->end && *c->at == 'u' && code_unit(c->at + 1, c->end) >= 0)
			c->at += 4;
		else if (c->at == c->end || *c->at == '\0' || strchr("\"\\/bfnrt", *c->at) == NULL)
			return false;
	}
	return false;
}

static char *put_rune(char *to, uint32_t r)
{
	if (r < 0x80) {
		*to++ = (char)r;
	} else if (r < 0x800) {
		*to++ = (char)(0xc0 | r >> 6);
		*to++ = (char)(0x80 | (r & 0x3f));
	} else if (r < 0x10000) {
		*to++ = (char)(0xe0 | r >> 12);
		*to++ = (char)(0x80 | (r >> 6 & 0x3f));
		*to++ = (char)(0x80 | (r & 0x3f));
	} else {
		*to++ = (char)(0xf0 | r >> 18);
		*to++ = (char)(0x80 | (r >> 12 & 0x3f));
		*to++ = (char)(0x80 | (r >> 6 & 0x3f));
		*to++ = (char)(0x80 | (r & 0x3f));
	}
	return to;
}

/* escaped_rune reads a \u escape, both halves of a pair; half a pair is U+FFFD. *at is behind the u, and moves. */
static uint32_t escaped_rune(const char **at, const char *end)
{
	int unit = code_unit(*at, end), low;

	*at += 4;
	if (unit < 0xd800 || unit > 0xdfff)
		return (uint32_t)unit;
	if (unit > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return 0xfffd;
	low = code_unit(*at + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	*at += 6;
	return 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}

/* unescape takes the escapes out of a string that has been read. The result is never longer. */
static gh_text unescape(gh_text raw)
{
	const char *at = raw.data, *end = raw.data + raw.len;
	char *start, *to;

	if (raw.len == 0 || memchr(raw.data, '\\', raw.len) == NULL)
		return raw;
	to = start = gh_alloc(raw.len);
	while (at < end) {
		const char *found;

		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		at += 2;
		if (at[-1] == 'u') {
			to = put_rune(to, escaped_rune(&at, end));
			continue;
		}
		found = strchr("b\bf\fn\nr\rt\t", at[-1]);
		*to++ = found != NULL ? found[1] : at[-1];
	}
	return (gh_text){ start, (size_t)(to - start) };
}

static bool skip_value(cursor *c, unsigned depth);

/* skip_members reads what is between the brackets of an array, or of an object, and the bracket that closes. */
static bool skip_members(cursor *c, bool object, unsigned depth)
{
	gh_text key;
	char close = object ? '}' : ']';

	if (depth == deepest)
		return false;
	skip_space(c);
	if (one_of(c, object ? "}" : "]"))
		return true;
	do {
		if (object) {
			if (!read_string(c, &key))
				return false;
			skip_space(c);
			if (!accept(c, ':'))
				return false;
		}
		if (!skip_value(c, depth + 1))
			return false;
		skip_space(c);
	} while (accept(c, ','));
	if (c->at == c->end || *c->at != close)
		return false;
	c->at++;
	return true;
}

static bool skip_literal(cursor *c, const char *literal)
{
	size_t n = strlen(literal);

	if ((size_t)(c->end - c->at) < n || memcmp(c->at, literal, n) != 0)
		return false;
	c->at += n;
	return true;
}

/* skip_value reads one value, without white space around it. */
static bool skip_value(cursor *c, unsigned depth)
{
	gh_text raw;

	if (c->at == c->end)
		return false;
	switch (*c->at) {
	case '{':
		c->at++;
		return skip_members(c, true, depth);
	case '[':
		c->at++;
		return skip_members(c, false, depth);
	case '"':
		return read_string(c, &raw);
	case 't':
		return skip_literal(c, "true");
	case 'f':
		return skip_literal(c, "false");
	case 'n':
		return skip_literal(c, "null");
	}
	return read_number(c);
}

/* read_value reads one value, or nothing when what comes is none. */
static gh_value read_value(cursor *c)
{
	const char *start = c->at;
	gh_value value = { .text.data = start };

	if (!skip_value(c, 0))
		return (gh_value){ 0 };
	value.text.len = (size_t)(c->at - start);
	switch (*start) {
	case '{':
		value.kind = GH_OBJECT;
		break;
	case '[':
		value.kind = GH_ARRAY;
		break;
	case '"':
		value.kind = GH_STRING;
		value.text = unescape((gh_text){ start + 1, value.text.len - 2 });
		break;
	case 't':
	case 'f':
		value.kind = GH_BOOLEAN;
		break;
	case 'n':
		value.kind = GH_NULL;
		break;
	default:
		value.kind = GH_NUMBER;
	}
	return value;
}

gh_value gh_parse(gh_text json)
{
	cursor c = { json.data, json.data + json.len };
	gh_value value;

	if (json.len == 0)
		return (gh_value){ 0 };
	skip_space(&c);
	value = read_value(&c);
	skip_space(&c);
	return c.at == c.end ? value : (gh_value){ 0 };
}

gh_iterator gh_iterate(gh_value value)
{
	gh_iterator i = { .object = value.kind == GH_OBJECT };

	if ((value.kind == GH_OBJECT || value.kind == GH_ARRAY) && value.text.len > 0) {
		i.at = value.text.data + 1; /* behind the bracket */
		i.end = value.text.data + value.text.len;
	}
	return i;
}

bool gh_next(gh_iterator *i)
{
	cursor c = { i->at, i->end };

	if (c.at == c.end)
		return false;
	skip_space(&c);
	if (i->object) {
		gh_text raw;

		if (!read_string(&c, &raw))
			return false; /* the bracket that closes */
		skip_space(&c);
		(void)accept(&c, ':');
		i->key = unescape(raw);
	}
	i->value = read_value(&c);
	if (!gh_exists(i->value))
		return false;
	skip_space(&c);
	(void)accept(&c, ',');
	i->at = c.at;
	return true;
}

/* index_of reads an array's index as RFC 6901 has it: no sign and no zero in front. */
static bool index_of(gh_text element, size_t *index)
{
	*index = 0;
	if (element.len == 0 || element.len > 9 || (element.len > 1 && element.data[0] == '0'))
		return false;
	for (size_t i = 0; i < element.len; i++) {
		if (element.data[i] < '0' || element.data[i] > '9')
			return false;
		*index = *index * 10 + (size_t)(element.data[i] - '0');
	}
	return true;
}

/* child finds the value at one element of a path. */
static gh_value child(gh_value value, gh_text element)
{
	gh_value found = { 0 };
	size_t index = 0, n = 0;

	if (value.kind == GH_ARRAY && !index_of(element, &index))
		return found;
	for (gh_iterator i = gh_iterate(value); gh_next(&i); n++) {
		if (!i.object && n == index)
			return i.value;
		if (i.object && gh_equal(i.key, element))
			found = i.value;
	}
	return found;
}

/* next_element cuts the first element from a pointer that begins with / and is well formed. */
static gh_text next_element(gh_text *pointer)
{
	char *start = gh_alloc(pointer->len), *to = start;
	size_t i = 1;

	for (; i < pointer->len && pointer->data[i] != '/'; i++) {
		*to = pointer->data[i];
		if (*to == '~') {
			i++;
			if (i == pointer->len || (pointer->data[i] != '0' && pointer->data[i] != '1'))
				gh_panic("a JSON pointer has ~ without 0 or 1 behind it");
			*to = pointer->data[i] == '0' ? '~' : '/';
		}
		to++;
	}
	pointer->data += i;
	pointer->len -= i;
	return (gh_text){ start, (size_t)(to - start) };
}

gh_value gh_get(gh_value value, const char *format, ...)
{
	va_list list;
	gh_text pointer;

	va_start(list, format);
	pointer = gh_format_list(GH_ELEMENT, format, list);
	va_end(list);
	if (pointer.len > 0 && pointer.data[0] != '/')
		gh_panic("a JSON pointer begins with /");
	while (pointer.len > 0)
		value = child(value, next_element(&pointer));
	return value;
}

/* ---- writing ---- */

static void put(gh_writer *w, const char *data, size_t n)
{
	if (n > w->capacity - w->len) {
		size_t capacity = w->capacity < 128 ? 256 : w->capacity * 2;
		char *grown;

		if (capacity / 2 < w->capacity || n > SIZE_MAX - capacity)
			gh_panic("out of memory: JSON of %zu bytes and %zu more", w->len, n);
		if (n > capacity - w->len)
			capacity += n;
		grown = gh_alloc(capacity);
		if (w->len > 0)
			memcpy(grown, w->data, w->len);
		w->data = grown;
		w->capacity = capacity;
	}
	if (n > 0)
		memcpy(w->data + w->len, data, n);
	w->len += n;
}

static void separate(gh_writer *w)
{
	if (w->comma)
		put(w, ",", 1);
	w->comma = true;
}

static void begin(gh_writer *w, bool object)
{
	if (w->depth == 64)
		gh_panic("JSON is nested more than 64 deep");
	separate(w);
	put(w, object ? "{" : "[", 1);
	w->objects = w->objects << 1 | object;
	w->depth++;
	w->comma = false;
}

void gh_write_object(gh_writer *w)
{
	begin(w, true);
}

void gh_write_array(gh_writer *w)
{
	begin(w, false);
}

void gh_write_end(gh_writer *w)
{
	if (w->depth == 0)
		gh_panic("gh_write_end without a gh_write_object or gh_write_array");
	put(w, w->objects & 1 ? "}" : "]", 1);
	w->objects >>= 1;
	w->depth--;
	w->comma = true;
}

/* rune_length is how many bytes the character at the beginning of some has, and 0 when they are no UTF-8. */
static size_t rune_length(const unsigned char *at, size_t left)
{
	size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
	unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;

	if (n > left || (n > 1 && (at[1] < least || at[1] > most)))
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (at[i] < 0x80 || at[i] > 0xbf)
			return 0;
	}
	return n;
}

/* plain_span is how many of the bytes at the beginning are surely written as they are. It looks at eight at a time. */
static size_t plain_span(const unsigned char *bytes, size_t n)
{
	const uint64_t ones = 0x0101010101010101, tops = ones << 7;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t eight, quotes, slashes;

		memcpy(&eight, bytes + i, 8);
		quotes = eight ^ ones * '"';
		slashes = eight ^ ones * '\\';
		/* A top bit is set where a byte is no ASCII, or below a space, or one of the two; or behind such a byte. */
		if ((eight | (eight - ones * ' ') | (quotes - ones) | (slashes - ones)) & tops)
			break;
	}
	return i;
}

static void put_string(gh_writer *w, gh_text string)
{
	const unsigned char *bytes = (const unsigned char *)string.data;
	size_t done = 0, i = plain_span(bytes, string.len);

	put(w, "\"", 1);
	while (i < string.len) {
		size_t n = rune_length(bytes + i, string.len - i);
		char escape[6] = { '\\', 'u', '0', '0', 0, 0 };

		if (n > 0 && bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\') {
			i += n;
			if (i % 8 == 0)
				i += plain_span(bytes + i, string.len - i);
			continue;
		}
		put(w, string.data + done, i - done);
		if (n == 0) {
			put(w, "\xef\xbf\xbd", 3);
		} else if (bytes[i] < 0x20) {
			escape[4] = "0123456789abcdef"[bytes[i] >> 4];
			escape[5] = "0123456789abcdef"[bytes[i] & 15];
			put(w, escape, 6);
		} else {
			escape[1] = (char)bytes[i];
			put(w, escape, 2);
		}
		done = ++i;
	}
	if (done < string.len)
		put(w, string.data + done, string.len - done);
	put(w, "\"", 1);
}

void gh_write_key(gh_writer *w, gh_text key)
{
	if (!(w->depth > 0 && w->objects & 1))
		gh_panic("gh_write_key outside of an object");
	separate(w);
	put_string(w, key);
	put(w, ":", 1);
	w->comma = false;
}

void gh_write_text(gh_writer *w, gh_text string)
{
	separate(w);
	put_string(w, string);
}

void gh_write_string(gh_writer *w, const char *string)
{
	gh_write_text(w, gh_text_of(string));
}

void gh_write_integer(gh_writer *w, int64_t number)
{
	gh_write_json(w, gh_format("%lld", (long long)number));
}

void gh_write_boolean(gh_writer *w, bool boolean)
{
	gh_write_json(w, gh_text_of(boolean ? "true" : "false"));
}

void gh_write_json(gh_writer *w, gh_text json)
{
	separate(w);
	put(w, json.data, json.len);
}

gh_text gh_written(const gh_writer *w)
{
	if (w->depth > 0)
		gh_panic("a gh_write_end is missing");
	return (gh_text){ w->data, w->len };
}
