/* The test vectors of FIPS 180-4's example documents, and lengths around a block's end. */
#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;

static void check(const char *what, const char *data, size_t n, const char *want)
{
	uint8_t digest[sha256_size];
	char got[2 * sha256_size + 1];

	sha256(data, n, digest);
	for (size_t i = 0; i < sha256_size; i++)
		sprintf(got + 2 * i, "%02x", digest[i]);
	if (strcmp(got, want) == 0)
		return;
	failed = 1;
	printf("%s: got %s, want %s\n", what, got, want);
}

static void check_text(const char *text, const char *want)
{
	check(text, text, strlen(text), want);
}

static void check_repeated(char character, size_t n, const char *want)
{
	char what[64], *data = malloc(n + 1);

	if (data == NULL)
		exit(2);
	snprintf(what, sizeof what, "%zu times %c", n, character);
	memset(data, character, n);
	check(what, data, n, want);
	free(data);
}

int main(void)
{
	check_text("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_text("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check_text("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		"cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
	check_repeated('a', 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	check_repeated('x', 55, "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
	check_repeated('x', 56, "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e");
	check_repeated('x', 63, "75220b47218278e656f2013bb8f0c455a25eaf01e86c64924e9d48d89776d6f2");
	check_repeated('x', 64, "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
	check_repeated('x', 65, "9537c5fdf120482f7d58d25e9ed583f52c02b4e304ea814db1633ad565aed7e9");
	check_repeated('x', 119, "000b48d4edf0fa7bee3c6236ecd2785baa5db4eeb8bb54341b029e0d9fa5fb0c");
	check_repeated('x', 120, "13f05a0b594787f5ecd315edc96141bd3243203d1b7d4f0836f37308b276ba98");
	check_repeated('x', 128, "24da1b81d0b16df6428eee73c69fcb2a93c76bc6df706f0c6670fe6bfe800464");
	return failed;
}
