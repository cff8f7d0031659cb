/* Texts, and the formats that make them. */
#include <string.h>

#include "host.h"

gh_text gh_text_of(const char *string)
{
	return (gh_text){ string, strlen(string) };
}

bool gh_equal(gh_text a, gh_text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool gh_is(gh_text text, const char *string)
{
	return gh_equal(text, gh_text_of(string));
}

/* A sink counts what is written, and keeps it when it has room. */
typedef struct {
	char *data;
	size_t len;
	gh_escape escape;
} sink;

static void put(sink *s, const char *data, size_t n)
{
	if (s->data != NULL && n > 0)
		memcpy(s->data + s->len, data, n);
	s->len += n;
}

static void put_escaped(sink *s, gh_text text)
{
	size_t done = 0;

	for (size_t i = 0; s->escape == GH_ELEMENT && i < text.len; i++) {
		if (text.data[i] != '~' && text.data[i] != '/')
			continue;
		put(s, text.data + done, i - done);
		put(s, text.data[i] == '~' ? "~0" : "~1", 2);
		done = i + 1;
	}
	if (done < text.len)
		put(s, text.data + done, text.len - done);
}

static void put_number(sink *s, unsigned long long magnitude, bool negative, unsigned base)
{
	char digits[24];
	size_t at = sizeof digits;

	do
		digits[--at] = "0123456789abcdef"[magnitude % base];
	while ((magnitude /= base) > 0);
	if (negative)
		digits[--at] = '-';
	put(s, digits + at, sizeof digits - at);
}

static void put_signed(sink *s, long long number)
{
	put_number(s, number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number, number < 0, 10);
}

/* A list of arguments, wrapped so that a function can take the next one of its caller's. */
typedef struct {
	va_list list;
} arguments;

static unsigned long long next_unsigned(char size, arguments *a)
{
	switch (size) {
	case 'L':
		return va_arg(a->list, unsigned long long);
	case 'l':
		return va_arg(a->list, unsigned long);
	case 'z':
		return va_arg(a->list, size_t);
	}
	return va_arg(a->list, unsigned);
}

static long long next_signed(char size, arguments *a)
{
	switch (size) {
	case 'L':
		return va_arg(a->list, long long);
	case 'l':
		return va_arg(a->list, long);
	case 'z':
		return (long long)va_arg(a->list, size_t);
	}
	return va_arg(a->list, int);
}

/* directive writes what the directive after a % says and returns its end. */
static const char *directive(sink *s, const char *at, arguments *a)
{
	char size = 0, character;
	gh_text text;

	if (strncmp(at, ".*s", 3) == 0) {
		int n = va_arg(a->list, int);

		text.data = va_arg(a->list, const char *);
		text.len = n < 0 ? 0 : (size_t)n;
		put_escaped(s, text);
		return at + 3;
	}
	for (; *at == 'l' || *at == 'z'; at++)
		size = *at == 'l' && size == 'l' ? 'L' : *at;
	switch (*at) {
	case '%':
		put(s, "%", 1);
		break;
	case 's':
		put_escaped(s, gh_text_of(va_arg(a->list, const char *)));
		break;
	case 'c':
		character = (char)va_arg(a->list, int);
		put_escaped(s, (gh_text){ &character, 1 });
		break;
	case 'd':
		put_signed(s, next_signed(size, a));
		break;
	case 'u':
		put_number(s, next_unsigned(size, a), false, 10);
		break;
	case 'x':
		put_number(s, next_unsigned(size, a), false, 16);
		break;
	default:
		gh_panic("a format has a directive that gatehouse.h does not know");
	}
	return at + 1;
}

static void format(sink *s, const char *format, arguments *a)
{
	for (;;) {
		const char *percent = strchr(format, '%');

		if (percent == NULL)
			break;
		put(s, format, (size_t)(percent - format));
		format = directive(s, percent + 1, a);
	}
	put(s, format, strlen(format));
}

gh_text gh_format_list(gh_escape escape, const char *string, va_list list)
{
	sink count = { .escape = escape }, made = { .escape = escape };
	arguments first, second;

	va_copy(first.list, list);
	format(&count, string, &first);
	va_end(first.list);

	made.data = gh_alloc(count.len);
	va_copy(second.list, list);
	format(&made, string, &second);
	va_end(second.list);
	return (gh_text){ made.data, made.len };
}

gh_text gh_format(const char *format, ...)
{
	va_list list;
	gh_text text;

	va_start(list, format);
	text = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
	return text;
}

void gh_panic(const char *string, ...)
{
	char buffer[1024]; /* there may be no memory left */
	sink count = { .escape = GH_PLAIN }, made = { .data = buffer, .escape = GH_PLAIN };
	arguments a;

	va_start(a.list, string);
	format(&count, string, &a);
	va_end(a.list);
	if (count.len > sizeof buffer)
		gh_host_end(string, strlen(string));
	va_start(a.list, string);
	format(&made, string, &a);
	va_end(a.list);
	gh_host_end(made.data, made.len);
}
