/* SPDX-License-Identifier: MIT
 *
 * Keyed ids, hashes and random bytes, by OpenSSL.
 */
#include <lauxlib.h>
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_*: the EVP layer costs more than the hash of a short text */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* for a hash state on the stack */
#include <xxhash.h>

#include "runtime/lua_private.h"

/* HMAC (RFC 2104) with what the key alone makes of both hashes; made again when another key comes: engines use one. */
struct hmac {
	SHA256_CTX inner, outer;
	size_t key_len;
	char key[SHA256_CBLOCK];
};

static void push_hex(lua_State *L, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char hex[64];
	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	lua_pushlstring(L, hex, 2 * len);
}

static int keyed_state(SHA256_CTX *state, const struct hmac *h, unsigned char pad)
{
	unsigned char block[SHA256_CBLOCK];
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (unsigned char)((i < h->key_len ? (unsigned char)h->key[i] : 0) ^ pad);
	return SHA256_Init(state) && SHA256_Update(state, block, sizeof block);
}

static int hmac_keyed(struct hmac *h, const char *key, size_t len)
{
	if (h->key_len == len && memcmp(h->key, key, len) == 0)
		return 1;
	memcpy(h->key, key, len);
	h->key_len = len;
	int ok = keyed_state(&h->inner, h, 0x36) && keyed_state(&h->outer, h, 0x5C);
	h->key_len = ok ? len : 0;
	return ok;
}

static void big_endian(unsigned char *to, uint64_t n, size_t len)
{
	for (size_t i = len; i--; n >>= 8)
		to[i] = (unsigned char)n;
}

static int add_text(SHA256_CTX *to, const char *text, size_t len)
{
	unsigned char size[4];
	big_endian(size, len, sizeof size);
	return SHA256_Update(to, size, sizeof size) && SHA256_Update(to, text, len);
}

/* A length that no text can have, then 8 bytes. */
static int add_integer(SHA256_CTX *to, int64_t n)
{
	unsigned char bytes[12] = {0xFF, 0xFF, 0xFF, 0xFF};
	big_endian(bytes + 4, (uint64_t)n, 8);
	return SHA256_Update(to, bytes, sizeof bytes);
}

/* Parts carry their length, so that ("ab","c") and ("a","bc") differ. */
static int l_hmac(lua_State *L)
{
	struct hmac *h = lua_touserdata(L, lua_upvalueindex(1));
	size_t len;
	const char *key = luaL_checklstring(L, 1, &len);
	luaL_argcheck(L, len >= 16 && len <= sizeof h->key, 1, "a key has 16 to 64 bytes");
	unsigned char digest[SHA256_DIGEST_LENGTH];
	int ok = hmac_keyed(h, key, len);
	SHA256_CTX inner = h->inner, outer = h->outer;
	for (int i = 2, n = lua_gettop(L); ok && i <= n; i++) {
		if (lua_isinteger(L, i)) {
			ok = add_integer(&inner, lua_tointeger(L, i));
			continue;
		}
		const char *part = luaL_checklstring(L, i, &len);
		ok = add_text(&inner, part, len);
	}
	if (!ok || !SHA256_Final(digest, &inner) || !SHA256_Update(&outer, digest, sizeof digest) ||
	    !SHA256_Final(digest, &outer))
		return luaL_error(L, "HMAC-SHA-256 failed");
	push_hex(L, digest, 16);
	return 1;
}

static int l_sha256(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len);
	unsigned char digest[32];
	if (!EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL))
		return luaL_error(L, "SHA-256 failed");
	push_hex(L, digest, 32);
	return 1;
}

/* Not against an adversary: tells two contents of one sender apart. 16 raw bytes. */
static int l_hash128(lua_State *L)
{
	XXH3_state_t state;
	XXH3_128bits_reset(&state);
	for (int i = 1, n = lua_gettop(L); i <= n; i++) {
		size_t len;
		const char *part = luaL_checklstring(L, i, &len);
		uint64_t size = len;
		XXH3_128bits_update(&state, &size, sizeof size);
		XXH3_128bits_update(&state, part, len);
	}
	XXH128_canonical_t bytes;
	XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(&state));
	lua_pushlstring(L, (const char *)bytes.digest, sizeof bytes.digest);
	return 1;
}

static int l_random_bytes(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	luaL_argcheck(L, n > 0 && n <= 4096, 1, "1 to 4096 bytes");
	luaL_Buffer b;
	if (RAND_bytes((unsigned char *)luaL_buffinitsize(L, &b, (size_t)n), (int)n) != 1)
		return luaL_error(L, "the system gave no random bytes");
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

void runtime_lua_digest(lua_State *L)
{
	struct hmac *h = lua_newuserdatauv(L, sizeof *h, 0);
	*h = (struct hmac){0};
	lua_pushcclosure(L, l_hmac, 1);
	lua_setfield(L, -2, "hmac");
	lua_pushcfunction(L, l_sha256);
	lua_setfield(L, -2, "sha256");
	lua_pushcfunction(L, l_hash128);
	lua_setfield(L, -2, "hash128");
	lua_pushcfunction(L, l_random_bytes);
	lua_setfield(L, -2, "random_bytes");
}
