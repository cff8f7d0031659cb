/* The plugin's side of the ABI (SPEC.md): what the host calls, and calls to it. */
#include "host.h"

#ifdef __wasm__

#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("gatehouse_abi_v1") void gh_export_marker(void);
void gh_export_marker(void)
{
}

EXPORT("alloc") uint32_t gh_export_alloc(uint32_t n);
uint32_t gh_export_alloc(uint32_t n)
{
	return (uint32_t)(uintptr_t)gh_payload(n);
}

uint64_t gh_pack(gh_text answer)
{
	return (uint64_t)(uintptr_t)answer.data << 32 | answer.len;
}

typedef struct {
	const char *data;
	size_t n;
} io_vector;

__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
uint32_t gh_wasi_write(int file, const io_vector *vectors, size_t n, size_t *written);

void gh_host_end(const char *text, size_t n)
{
	enum { standard_error = 2 };
	size_t written;

	(void)gh_wasi_write(standard_error, (io_vector[]){ { text, n }, { "\n", 1 } }, 2, &written);
	__builtin_trap();
}

#endif

/* received makes a value of what a function of the host returned, whose answer is in the span if it fitted. */
static gh_value received(uint64_t packed, gh_span span)
{
	uint32_t kind = (uint32_t)(packed >> 32), n = (uint32_t)packed;
	gh_value value = { .kind = kind <= GH_FAILURE ? (gh_kind)kind : GH_FAILURE, .text = { span.data, n } };

	if (n <= span.size) {
		gh_take(n);
		return value;
	}
	value.text.data = span.data = gh_alloc(n);
	value.text.len = gh_host_read(span.data, n);
	return value;
}

gh_value gh_field_at(gh_text pointer)
{
	gh_span span = gh_spare();
	gh_value value = received(gh_host_field(pointer.data, (uint32_t)pointer.len, span.data, (uint32_t)span.size), span);

	if (value.kind == GH_FAILURE)
		gh_panic("look-up of %.*s: %.*s", GH_TEXT(pointer), GH_TEXT(value.text));
	return value;
}

gh_value gh_field(const char *pointer, ...)
{
	va_list list;
	gh_text made;

	va_start(list, pointer);
	made = gh_format_list(GH_ELEMENT, pointer, list);
	va_end(list);
	return gh_field_at(made);
}

gh_value gh_call(const char *name, gh_text payload)
{
	gh_span span = gh_spare();
	uint64_t packed = gh_host_call(name, (uint32_t)gh_text_of(name).len, payload.data, (uint32_t)payload.len,
		span.data, (uint32_t)span.size);

	return received(packed, span);
}

void gh_log(gh_level level, const char *format, ...)
{
	va_list list;
	gh_text text;

	va_start(list, format);
	text = gh_format_list(GH_PLAIN, format, list);
	va_end(list);
	gh_host_log((uint32_t)level, text.data, (uint32_t)text.len);
}

bool gh_exists(gh_value value)
{
	return value.kind != GH_ABSENT;
}

bool gh_is_true(gh_value value)
{
	return value.kind == GH_BOOLEAN && gh_is(value.text, "true");
}

bool gh_integer(gh_value value, int64_t *number)
{
	gh_text t = value.text;
	bool negative = t.len > 0 && t.data[0] == '-';
	int64_t n = 0;

	if (value.kind != GH_NUMBER)
		return false;
	for (size_t i = negative; i < t.len; i++) {
		int digit = t.data[i] - '0';

		/* Downwards, for there is one more negative number than there are positive ones. */
		if (digit < 0 || digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, digit, &n))
			return false;
	}
	if (!negative && n == INT64_MIN)
		return false;
	*number = negative ? n : -n;
	return true;
}

gh_text gh_run_settings(gh_take_settings *take, uint32_t n)
{
	gh_text given = gh_payload_text(n);
	gh_value settings;
	gh_text refusal;

	/* The payload's buffer is the next call's, while settings stay. */
	settings = gh_parse(gh_format("%.*s", GH_TEXT(given)));
	if (settings.kind != GH_OBJECT)
		gh_panic("the settings are no JSON object");
	refusal = take(settings);
	gh_keep();
	return refusal;
}
