/* What the behaviour programs share. A program says nothing and exits 0 when the behaviour holds; otherwise it writes one
 * line and exits 1. Nothing here allocates: the bookkeeping of a test lives in mappings of its own. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif
/* Of C23, and one that glibc has retired: no header declares them yet. */
void free_sized(void *block, size_t size) __attribute__((weak));
void free_aligned_sized(void *block, size_t align, size_t size) __attribute__((weak));
void cfree(void *block) __attribute__((weak));
#ifdef __cplusplus
}
#endif

#define UNUSED __attribute__((unused))
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static void UNUSED say(int to, const char *format, va_list arguments)
{
    char line[512];
    int length = vsnprintf(line, sizeof line, format, arguments);
    if (length > (int)sizeof line - 1) {
        length = sizeof line - 1;
    }
    ssize_t ignored = write(to, line, (size_t)length);
    (void)ignored;
}

__attribute__((format(printf, 1, 2))) static void UNUSED print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(1, format, arguments);
    va_end(arguments);
}

__attribute__((noreturn, format(printf, 1, 2))) static void UNUSED fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(2, format, arguments);
    va_end(arguments);
    _exit(1);
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail(__FILE__ ":" TEXT(__LINE__) ": " __VA_ARGS__);                                                        \
        }                                                                                                              \
    } while (0)

/* xorshift64*: the state must not be 0. */
static inline uint64_t UNUSED draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static inline size_t UNUSED draw_below(uint64_t *state, size_t limit)
{
    return (size_t)(draw(state) >> 11) % limit;
}

/* Memory of the test's own. */
static UNUSED void *own_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED, "the test has no memory of its own\n");
    return memory;
}

static inline uint64_t pattern_word(uint64_t key, size_t index)
{
    return (key + index) * 0x9e3779b97f4a7c15u;
}

/* Fills every byte with a pattern of the key. */
static void UNUSED fill(void *block, size_t size, uint64_t key)
{
    unsigned char *at = (unsigned char *)block;
    size_t index = 0;
    for (; size >= 8; size -= 8, at += 8, index++) {
        uint64_t word = pattern_word(key, index);
        memcpy(at, &word, 8);
    }
    uint64_t word = pattern_word(key, index);
    memcpy(at, &word, size);
}

/* The offset of the first byte that is not as `fill` left it, or `size`. */
static size_t UNUSED damage(const void *block, size_t size, uint64_t key)
{
    const unsigned char *at = (const unsigned char *)block;
    size_t index = 0;
    for (; index < size / 8; index++) {
        uint64_t word = pattern_word(key, index);
        if (memcmp(at + index * 8, &word, 8) != 0) {
            break;
        }
    }
    uint64_t word = pattern_word(key, index);
    for (size_t offset = index * 8; offset < size && offset < index * 8 + 8; offset++) {
        if (at[offset] != (unsigned char)(word >> (offset % 8 * 8))) {
            return offset;
        }
    }
    return size;
}

#define CHECK_CONTENT(block, size, key)                                                                                \
    do {                                                                                                               \
        size_t offset_ = damage(block, size, key);                                                                     \
        CHECK(offset_ == (size), "content: byte %zu of the %zu at %p has changed\n", offset_, (size_t)(size),          \
              (void *)(block));                                                                                        \
    } while (0)

/* The offset of the first byte that is not 0, or `size`. */
static size_t UNUSED first_nonzero(const void *block, size_t size)
{
    const unsigned char *at = (const unsigned char *)block;
    size_t offset = 0;
    for (; offset + 8 <= size; offset += 8) {
        uint64_t word;
        memcpy(&word, at + offset, 8);
        if (word != 0) {
            break;
        }
    }
    for (; offset < size; offset++) {
        if (at[offset] != 0) {
            return offset;
        }
    }
    return size;
}

static size_t UNUSED statm_field(int field)
{
    char text[256];
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL, "no /proc/self/statm\n");
    static char buffer[512];
    setvbuf(file, buffer, _IOFBF, sizeof buffer);
    CHECK(fgets(text, sizeof text, file) != NULL, "/proc/self/statm is empty\n");
    fclose(file);
    char *at = text;
    size_t pages = 0;
    for (int i = 0; i <= field; i++) {
        pages = strtoul(at, &at, 10);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Address space and resident memory of the process, in bytes. Not for two threads at a time. */
static size_t UNUSED virtual_bytes(void)
{
    return statm_field(0);
}

static size_t UNUSED resident_bytes(void)
{
    return statm_field(1);
}

static void UNUSED start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, body, argument);
    CHECK(error == 0, "pthread_create: %s\n", strerror(error));
}

static void UNUSED join(pthread_t thread)
{
    int error = pthread_join(thread, NULL);
    CHECK(error == 0, "pthread_join: %s\n", strerror(error));
}

/* Sizes of every route that requests take: equal small blocks, powers of two and odd sizes in each range. Blocks of the
 * last route are for touching here and there, not for filling. */
enum route { TINY, SMALL, POOLED, CHUNK, RUN, DIRECT, LARGE_RUN, BEYOND, ROUTES };

static size_t UNUSED draw_size(uint64_t *state, enum route route)
{
    switch (route) {
    case TINY:
        return draw_below(state, 129);
    case SMALL:
        return draw_below(state, KIB + 1);
    case POOLED:
        return draw_below(state, 32 * KIB + 1);
    case CHUNK:
        return (64 * KIB) << draw_below(state, 7);
    case RUN:
        return 32 * KIB + 1 + draw_below(state, draw_below(state, 8) == 0 ? 4 * MIB - 32 * KIB : 200 * KIB);
    case DIRECT:
        return (4 * MIB) << draw_below(state, 4);
    case LARGE_RUN:
        return 4 * MIB + 1 + draw_below(state, 24 * MIB);
    default:
        return 256 * MIB + 1 + draw_below(state, 500 * MIB);
    }
}

#endif
