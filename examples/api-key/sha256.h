/* SHA-256 (FIPS 180-4). */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { sha256_size = 32 };

/* sha256 hashes n bytes. It needs no memory but the stack. */
void sha256(const void *data, size_t n, uint8_t digest[sha256_size]);

#endif
