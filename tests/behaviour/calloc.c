/* calloc is zero, whatever the memory held before.
 * calloc reuse|threads|fresh|trimmed */
#include "check.h"

#define BLOCKS 400

static void dirty_then_clear(uint64_t *random, int routes, size_t budget)
{
    static __thread void *blocks[BLOCKS];
    static __thread size_t sizes[BLOCKS];
    size_t used = 0;
    int count = 0;
    for (; count < BLOCKS && used < budget; count++) {
        sizes[count] = 1 + draw_size(random, (enum route)draw_below(random, (size_t)routes));
        used += sizes[count];
        blocks[count] = malloc(sizes[count]);
        CHECK(blocks[count] != NULL, "%zu bytes refused\n", sizes[count]);
        memset(blocks[count], 0xa5, malloc_usable_size(blocks[count]));
    }
    for (int i = 0; i < count; i++) {
        free(blocks[i]);
    }
    for (int i = 0; i < count; i++) {
        size_t size = sizes[count - 1 - i];
        blocks[i] = i % 2 == 0 ? calloc(1, size) : calloc(size, 1);
        CHECK(blocks[i] != NULL, "calloc of %zu bytes refused\n", size);
        size_t at = first_nonzero(blocks[i], size);
        CHECK(at == size, "calloc is not zero: byte %zu of %zu\n", at, size);
        memset(blocks[i], 0x5a, size);
    }
    for (int i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void *reuse(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 77;
    for (int round = 0; round < 15; round++) {
        dirty_then_clear(&random, TINY + 1, MIB);
        dirty_then_clear(&random, POOLED + 1, 8 * MIB);
        dirty_then_clear(&random, RUN + 1, 24 * MIB);
    }
    for (int round = 0; round < 3; round++) {
        dirty_then_clear(&random, LARGE_RUN + 1, 64 * MIB);
    }
    return NULL;
}

/* Each single size class, dirtied and taken again at once and after many others. */
static void each_size(void)
{
    for (size_t size = 1; size <= 40000; size += size < 1200 ? 1 : 173) {
        void *blocks[70];
        for (int i = 0; i < 70; i++) {
            blocks[i] = malloc(size);
            memset(blocks[i], 0xff, size);
        }
        for (int i = 0; i < 70; i++) {
            free(blocks[i]);
        }
        for (int i = 0; i < 70; i++) {
            blocks[i] = calloc(1, size);
            CHECK(blocks[i] != NULL && first_nonzero(blocks[i], size) == size, "calloc is not zero: %zu bytes\n", size);
        }
        for (int i = 0; i < 70; i++) {
            free(blocks[i]);
        }
    }
}

/* Never-used memory, memory given back to the system and taken again, and the two mixed. */
static void trimmed(void)
{
    uint64_t random = 9;
    for (int round = 0; round < 6; round++) {
        dirty_then_clear(&random, RUN + 1, 64 * MIB);
        malloc_trim(0);
        dirty_then_clear(&random, LARGE_RUN + 1, 64 * MIB);
        malloc_trim(0);
    }
}

static void fresh(void)
{
    for (int shift = 0; shift <= 28; shift++) {
        for (size_t off = 0; off < 3; off++) {
            size_t size = ((size_t)1 << shift) + off - 1;
            unsigned char *block = (unsigned char *)calloc(1, size);
            CHECK(block != NULL, "calloc of %zu bytes refused\n", size);
            size_t look = size > 32 * MIB ? 32 * MIB : size;
            CHECK(first_nonzero(block, look) == look, "calloc is not zero: %zu bytes\n", size);
            CHECK(first_nonzero(block + size - look, look) == look, "calloc is not zero: the end of %zu bytes\n", size);
            memset(block, 0xee, look);
            memset(block + size - look, 0xee, look);
            free(block);
            block = (unsigned char *)calloc(1, size);
            CHECK(block != NULL, "calloc of %zu bytes refused\n", size);
            CHECK(first_nonzero(block, look) == look, "calloc is not zero on reuse: %zu bytes\n", size);
            CHECK(first_nonzero(block + size - look, look) == look, "calloc is not zero on reuse: %zu bytes\n", size);
            free(block);
        }
    }
    errno = 0;
    CHECK(calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM, "an overflowing calloc does not fail with ENOMEM\n");
    errno = 0;
    CHECK(calloc((size_t)1 << 32, (size_t)1 << 32) == NULL && errno == ENOMEM,
          "an overflowing calloc does not fail with ENOMEM\n");
    void *none = calloc(0, 8), *nothing = calloc(8, 0);
    CHECK(none != NULL && nothing != NULL && none != nothing, "calloc of nothing is not a pointer of its own\n");
    free(none);
    free(nothing);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: calloc reuse|threads|fresh|trimmed\n");
    if (strcmp(argv[1], "reuse") == 0) {
        reuse(NULL);
        each_size();
    } else if (strcmp(argv[1], "threads") == 0) {
        pthread_t threads[3];
        for (long i = 0; i < 3; i++) {
            start(&threads[i], reuse, (void *)(i + 1));
        }
        for (int i = 0; i < 3; i++) {
            join(threads[i]);
        }
    } else if (strcmp(argv[1], "fresh") == 0) {
        fresh();
    } else {
        trimmed();
    }
    return 0;
}
