/*
 * The functions of the host (SPEC.md, section 5), and what the SDK's own sources share. On anything but WebAssembly there is
 * no host: tests have functions of these names.
 */
#ifndef GATEHOUSE_HOST_H
#define GATEHOUSE_HOST_H

#include <stdarg.h>

#include "gatehouse.h"

#ifdef __wasm__
#define GH_IMPORT(name) __attribute__((import_module("gatehouse"), import_name(name)))
#else
#define GH_IMPORT(name)
#endif

GH_IMPORT("log") void gh_host_log(uint32_t level, const char *text, uint32_t n);
GH_IMPORT("field") uint64_t gh_host_field(const char *pointer, uint32_t n, char *buffer, uint32_t size);
GH_IMPORT("host_call")
uint64_t gh_host_call(const char *name, uint32_t n, const char *payload, uint32_t m, char *buffer, uint32_t size);
GH_IMPORT("host_read") uint32_t gh_host_read(char *buffer, uint32_t size);

/* gh_host_end tells why and ends the instance. */
_Noreturn void gh_host_end(const char *text, size_t n);

/* A span is memory that is free for the answer of one function of the host. */
typedef struct {
	char *data;
	size_t size;
} gh_span;

gh_span gh_spare(void);          /* what can be had without asking for more */
void gh_take(size_t n);          /* takes the first n bytes of it */
void gh_forget(void);            /* frees all that gh_alloc gave */
void gh_keep(void);              /* has all that gh_alloc gave stay for good */
char *gh_payload(size_t n);      /* the buffer that the host writes to; NULL when there is no room */
gh_text gh_payload_text(size_t n); /* what it has written there */

/* What is put where a format says: as it is, or escaped as an element of a JSON pointer. */
typedef enum { GH_PLAIN, GH_ELEMENT } gh_escape;
gh_text gh_format_list(gh_escape escape, const char *format, va_list list) GH_FORMAT(2, 0);

/* ---- what the roles share ---- */

void gh_begin(void);             /* before a role's function is called */
bool gh_failed(gh_writer *w);    /* has it said gh_fail? then w has the answer */

/* gh_open_review opens a review, and in it the object with the answer; gh_close_review closes both. */
void gh_open_review(gh_writer *w, const char *version, const char *kind, const char *member);
gh_text gh_close_review(gh_writer *w);

/* gh_write_list closes an array or object that was written apart, and writes it as a member; nothing when it has not begun. */
void gh_write_list(gh_writer *w, const char *key, gh_writer *list);

/* gh_write_member writes a text as a member, unless it is empty. */
void gh_write_member(gh_writer *w, const char *key, gh_text text);

#endif
