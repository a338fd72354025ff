/* What realloc promises.
 * realloc content|growth|place|neighbour|rules|threads */
#include "check.h"

/* One block, resized at random over the borders of all routes; what both sizes share must survive. */
static void content(void)
{
    uint64_t random = 5;
    size_t size = 1;
    unsigned char *block = (unsigned char *)malloc(size);
    fill(block, size, 1);
    for (uint64_t step = 1; step < 1500; step++) {
        int route = (int)draw_below(&random, step % 50 == 0 ? LARGE_RUN + 1 : RUN + 1);
        size_t next = 1 + draw_size(&random, (enum route)route);
        unsigned char *moved = (unsigned char *)realloc(block, next);
        CHECK(moved != NULL, "realloc from %zu to %zu refused\n", size, next);
        CHECK_CONTENT(moved, size < next ? size : next, step);
        CHECK(malloc_usable_size(moved) >= next, "realloc to %zu: usable size below it\n", next);
        fill(moved, next, step + 1);
        block = moved;
        size = next;
    }
    free(block);
    /* Alignment beyond the default need not last, content must. */
    for (size_t align = 32; align <= MIB; align *= 2) {
        block = (unsigned char *)aligned_alloc(align, 1000);
        fill(block, 1000, align);
        block = (unsigned char *)realloc(block, 100000);
        CHECK_CONTENT(block, 1000, align);
        block = (unsigned char *)realloc(block, 100);
        CHECK_CONTENT(block, 100, align);
        free(block);
    }
}

/* A buffer that grows by an eighth, as programs let them grow; every 512th byte is marked. */
static void growth(void)
{
    unsigned char *block = NULL;
    size_t marks = 0;
    for (size_t size = 64; size < 200 * MIB; size += size / 8) {
        block = (unsigned char *)realloc(block, size);
        CHECK(block != NULL, "realloc to %zu refused\n", size);
        for (size_t i = 0; i < marks; i++) {
            CHECK(block[i * 512] == (unsigned char)(i % 251), "content: byte %zu lost on the way to %zu\n", i * 512, size);
        }
        for (; marks * 512 < size; marks++) {
            block[marks * 512] = (unsigned char)(marks % 251);
        }
    }
    free(block);
}

/* Inside the usable size nothing moves. */
static void place(void)
{
    uint64_t random = 11;
    for (int i = 0; i < 2000; i++) {
        size_t size = 1 + draw_size(&random, (enum route)(i % (RUN + 1)));
        void *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        void *same = realloc(block, usable);
        CHECK(same == block, "in place: %zu bytes moved for a growth to the usable %zu\n", size, usable);
        same = realloc(block, size);
        CHECK(same == block, "in place: a block of %zu usable bytes moved for a shrink to %zu\n", usable, size);
        free(block);
    }
}

/* A medium block with free memory behind it mostly grows where it is. */
static void neighbour(void)
{
    int moves = 0, steps = 0;
    uintptr_t before;
    unsigned char *block = (unsigned char *)malloc(300 * KIB + 1);
    for (size_t size = 300 * KIB; size < 900 * KIB; size += 8 * KIB, steps++) {
        before = (uintptr_t)block;
        block = (unsigned char *)realloc(block, size + 1);
        moves += (uintptr_t)block != before;
        block[size] = 1;
    }
    CHECK(moves <= steps / 4, "in place: %d of %d steps of growth moved the block\n", moves, steps);
    free(block);
}

static void rules(void)
{
    static const size_t sizes[] = {1, 100, 5000, 50000, 128 * KIB, MIB + 5, 8 * MIB, 9 * MIB + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        void *block = malloc(size);
        fill(block, size, i);
        errno = 0;
        void *result = realloc(block, (size_t)PTRDIFF_MAX);
        CHECK(result == NULL && errno == ENOMEM, "rules: realloc to PTRDIFF_MAX does not fail with ENOMEM\n");
        CHECK_CONTENT(block, size, i);
        errno = 0;
        result = realloc(block, SIZE_MAX);
        CHECK(result == NULL && errno == ENOMEM, "rules: realloc to SIZE_MAX does not fail with ENOMEM\n");
        CHECK_CONTENT(block, size, i);
        errno = 0;
        result = reallocarray(block, SIZE_MAX / 2, 3);
        CHECK(result == NULL && errno == ENOMEM, "rules: an overflowing reallocarray does not fail with ENOMEM\n");
        CHECK_CONTENT(block, size, i);
        result = reallocarray(block, size, 2);
        CHECK(result != NULL, "rules: reallocarray refused\n");
        CHECK_CONTENT(result, size, i);
        errno = 0;
        CHECK(realloc(result, 0) == NULL && errno == 0, "rules: realloc to 0 does not free and return null\n");
    }
    void *empty = realloc(NULL, 0);
    CHECK(empty != NULL, "rules: realloc(NULL, 0) is not malloc(0)\n");
    free(empty);
    /* What realloc to 0 freed is free: else this grows to 1 GiB. */
    size_t before = resident_bytes();
    for (int i = 0; i < 10000; i++) {
        void *block = malloc(100000);
        memset(block, 1, 100000);
        CHECK(realloc(block, 0) == NULL, "rules: realloc to 0 returns a block\n");
    }
    CHECK(resident_bytes() - before < 100 * MIB, "rules: realloc to 0 keeps the block\n");
}

#define SHARED 1200
static struct {
    unsigned char *start;
    size_t size;
} shared[SHARED];

static void *resize_all(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    for (size_t i = (size_t)(uintptr_t)argument % 2; i < SHARED; i += 2) {
        size_t next = 1 + draw_size(&random, (enum route)draw_below(&random, RUN + 1));
        unsigned char *moved = (unsigned char *)realloc(shared[i].start, next);
        size_t kept = shared[i].size < next ? shared[i].size : next;
        CHECK(moved != NULL, "realloc of another thread's block refused\n");
        CHECK_CONTENT(moved, kept, i);
        fill(moved, next, i);
        shared[i].start = moved;
        shared[i].size = next;
    }
    return NULL;
}

/* Blocks of one thread resized by two others, three times. */
static void in_threads(void)
{
    uint64_t random = 3;
    for (size_t i = 0; i < SHARED; i++) {
        shared[i].size = 1 + draw_size(&random, (enum route)(i % (RUN + 1)));
        shared[i].start = (unsigned char *)malloc(shared[i].size);
        fill(shared[i].start, shared[i].size, i);
    }
    for (uintptr_t round = 0; round < 3; round++) {
        pthread_t one, two;
        start(&one, resize_all, (void *)(round * 2 + 10));
        start(&two, resize_all, (void *)(round * 2 + 11));
        join(one);
        join(two);
    }
    for (size_t i = 0; i < SHARED; i++) {
        CHECK_CONTENT(shared[i].start, shared[i].size, i);
        free(shared[i].start);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*body)(void);
    } modes[] = {{"content", content}, {"growth", growth}, {"place", place},
                 {"neighbour", neighbour}, {"rules", rules}, {"threads", in_threads}};
    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].body();
            return 0;
        }
    }
    fail("usage: realloc content|growth|place|neighbour|rules|threads\n");
}
