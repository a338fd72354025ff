/* One misuse, named by the argument. The program first prints the pointer it is about to misuse; it must not reach its end.
 * Where a misuse may be noticed late, the program goes on as programs do: it allocates, frees and ends threads. */
#include "check.h"

static void announce(const void *pointer)
{
    print("%p\n", pointer);
}

static char not_ours[256];

static void free_stack(void)
{
    char local[64];
    char *volatile pointer = local + 16;
    announce(pointer);
    free(pointer);
}

static void free_static(void)
{
    char *volatile pointer = not_ours + 64;
    announce(pointer);
    free(pointer);
}

static void free_mapping(void)
{
    char *pointer = (char *)own_memory(MIB);
    announce(pointer);
    free(pointer);
}

static void free_low(void)
{
    void *volatile pointer = (void *)0x1000;
    announce(pointer);
    free(pointer);
}

static void free_high(void)
{
    void *volatile pointer = (void *)0xffff800000001000;
    announce(pointer);
    free(pointer);
}

/* A live block, which has been written. */
static uintptr_t written(size_t size)
{
    char *block = (char *)malloc(size);
    memset(block, 1, size < MIB ? size : MIB);
    return (uintptr_t)block;
}

static void free_at(uintptr_t address)
{
    void *volatile pointer = (void *)address;
    announce(pointer);
    free(pointer);
}

/* A pointer that differs from a live block's in some bits, as one does that carries a mark, or a broken one. */
static void garbled(size_t size, uintptr_t bits)
{
    free_at(written(size) ^ bits);
}

/* A pointer this far from the start of a live block, inside it or beyond. */
static void moved(size_t size, uintptr_t distance)
{
    free_at(written(size) + distance);
}

static void usable_at(uintptr_t address)
{
    void *volatile pointer = (void *)address;
    announce(pointer);
    print("%zu\n", malloc_usable_size(pointer));
}

static void resized_at(uintptr_t address, size_t size)
{
    void *volatile pointer = (void *)address;
    announce(pointer);
    pointer = realloc(pointer, size);
}

#define MANY 5000

/* A crowd of live blocks of the same size, so that the allocator has every reason to keep the pool. */
static void **crowd(size_t size)
{
    static void *blocks[MANY];
    for (size_t i = 0; i < MANY && i * size < 512 * MIB; i++) {
        blocks[i] = malloc(size);
        memset(blocks[i], 1, size < 64 ? size : 64);
    }
    return blocks;
}

static void *nothing_much(void *size)
{
    void *blocks[200];
    for (int i = 0; i < 200; i++) {
        blocks[i] = malloc((size_t)(uintptr_t)size);
    }
    for (int i = 0; i < 200; i++) {
        free(blocks[i]);
    }
    return NULL;
}

/* Frees what is left of the crowd, in a stride, then allocates and frees more, in threads as well. The block at `twice` is
 * the one that was freed already. */
static void go_on(void **blocks, size_t twice, size_t size)
{
    for (size_t start = 0; start < 7; start++) {
        for (size_t i = start; i < MANY; i += 7) {
            if (i != twice && blocks[i] != NULL) {
                free(blocks[i]);
            }
        }
    }
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        start(&thread, nothing_much, (void *)size);
        join(thread);
        nothing_much((void *)size);
    }
}

static void twice_at_once(size_t size)
{
    void *volatile block = crowd(size)[20];
    announce(block);
    free(block);
    free(block);
}

/* Between the two frees, `between` others are freed. */
static void twice_later(size_t size, size_t between)
{
    void **blocks = crowd(size);
    void *volatile block = blocks[MANY / 2];
    announce(block);
    free(block);
    for (size_t i = 0; i < between; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    free(block);
    go_on(blocks, MANY / 2, size);
}

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

static void free_in_thread(void *block)
{
    pthread_t thread;
    start(&thread, free_it, block);
    join(thread);
}

/* The owner frees first, another thread second. */
static void twice_by_another(size_t size)
{
    void **blocks = crowd(size);
    void *block = blocks[100];
    announce(block);
    free(block);
    free_in_thread(block);
    go_on(blocks, 100, size);
}

/* Another thread frees first, the owner second. */
static void twice_by_owner(size_t size)
{
    void **blocks = crowd(size);
    void *block = blocks[100];
    announce(block);
    free_in_thread(block);
    free(block);
    go_on(blocks, 100, size);
}

static void twice_by_others(size_t size)
{
    void **blocks = crowd(size);
    void *block = blocks[100];
    announce(block);
    free_in_thread(block);
    free_in_thread(block);
    go_on(blocks, 100, size);
}

static void *twice_then_end(void *unused)
{
    (void)unused;
    void *blocks[3] = {malloc(48), malloc(48), malloc(48)};
    announce(blocks[1]);
    free(blocks[1]);
    free(blocks[0]);
    free(blocks[1]);
    free(blocks[2]);
    return NULL;
}

/* The thread ends right after its double free. */
static void twice_at_end(void)
{
    pthread_t thread;
    start(&thread, twice_then_end, NULL);
    join(thread);
    go_on(crowd(48), MANY, 48);
}

/* The program ends right after its double free. */
static void twice_at_exit(void)
{
    void **blocks = crowd(48);
    void *volatile block = blocks[10];
    announce(block);
    free(block);
    free(blocks[11]);
    free(block);
    free(blocks[12]);
    exit(3);
}

/* Large blocks leave no crowd behind. */
static void large_twice(size_t size, int others)
{
    void *volatile block = malloc(size);
    void *other = malloc(size);
    CHECK(block != NULL && other != NULL, "%zu bytes refused\n", size);
    announce(block);
    free(block);
    if (others) {
        free(other);
    }
    free(block);
}

static void large_resized(size_t size)
{
    void *volatile block = malloc(size);
    announce(block);
    free(block);
    void *volatile moved = realloc(block, size * 2);
    (void)moved;
}

static void resized_after_free(void)
{
    void **blocks = crowd(100);
    void *volatile block = blocks[7];
    announce(block);
    free(block);
    void *volatile moved = realloc(block, 5000);
    (void)moved;
    go_on(blocks, 7, 100);
}

#define RUNS 70001
int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "";
#define MODE(name, ...)                                                                                                \
    else if (strcmp(mode, name) == 0)                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }
    if (strcmp(mode, "") == 0) {
        fail("usage: death MODE\n");
    }
    MODE("free-stack", free_stack())
    MODE("free-static", free_static())
    MODE("free-mapping", free_mapping())
    MODE("free-low", free_low())
    MODE("garbled-byte-16", garbled(16, (uintptr_t)0x5a << 56))
    MODE("garbled-byte-5000", garbled(5000, (uintptr_t)0x5a << 56))
    MODE("garbled-bit-48", garbled(100, (uintptr_t)1 << 48))
    MODE("garbled-bit-47", garbled(100, (uintptr_t)1 << 47))
    MODE("garbled-bit-40", garbled(100, (uintptr_t)1 << 40))
    MODE("moved-960-gib", moved(100, 960 * GIB))
    MODE("moved-512-gib", moved(100, 512 * GIB))
    MODE("moved-1024-gib", moved(100, 1024 * GIB))
    MODE("garbled-bit-32", garbled(100, (uintptr_t)1 << 32))
    MODE("realloc-garbled", resized_at((uintptr_t)malloc(100) ^ (uintptr_t)1 << 56, 101))
    MODE("free-high", free_high())
    MODE("realloc-static", resized_at((uintptr_t)not_ours + 64, 100))
    MODE("usable-static", usable_at((uintptr_t)not_ours + 64))
    MODE("usable-inside-small", usable_at(written(100) + 8))
    MODE("usable-inside-pool-chunk", usable_at(written(32 * KIB) + 4096))
    MODE("usable-inside-chunk", usable_at(written(256 * KIB) + 16))
    MODE("realloc-inside-small", resized_at(written(100) + 8, 100))
    MODE("inside-small-8", moved(100, 8))
    MODE("inside-small-16", moved(1000, 16))
    MODE("inside-small-1", moved(1000, 1))
    MODE("inside-small-end", moved(64, 63))
    MODE("inside-pool-page", moved(32 * KIB, 4096))
    MODE("inside-chunk-16", moved(256 * KIB, 16))
    MODE("inside-chunk", moved(256 * KIB, 64 * KIB))
    MODE("inside-run-16", moved(RUNS, 16))
    MODE("inside-run", moved(3 * MIB + 1, MIB))
    MODE("inside-direct-16", moved(16 * MIB, 16))
    MODE("inside-direct", moved(16 * MIB, 4 * MIB))
    MODE("inside-large-run", moved(17 * MIB + 1, 8 * MIB))
    MODE("inside-rounded", moved(300 * MIB, 256 * MIB))
    MODE("inside-huge-16", moved(9 * GIB, 16))
    MODE("inside-huge", moved(9 * GIB, GIB))
    MODE("twice-now-16", twice_at_once(16))
    MODE("twice-now-1000", twice_at_once(1000))
    MODE("twice-now-30000", twice_at_once(30000))
    MODE("twice-after-one-16", twice_later(16, 1))
    MODE("twice-after-one-1000", twice_later(1000, 1))
    MODE("twice-after-one-20000", twice_later(20000, 1))
    MODE("twice-after-many-16", twice_later(16, 2000))
    MODE("twice-after-many-600", twice_later(600, 2000))
    MODE("twice-after-many-9000", twice_later(9000, 2000))
    MODE("twice-by-another-64", twice_by_another(64))
    MODE("twice-by-another-5000", twice_by_another(5000))
    MODE("twice-by-owner-64", twice_by_owner(64))
    MODE("twice-by-owner-5000", twice_by_owner(5000))
    MODE("twice-by-others-64", twice_by_others(64))
    MODE("twice-by-others-5000", twice_by_others(5000))
    MODE("twice-at-thread-end", twice_at_end())
    MODE("twice-at-exit", twice_at_exit())
    MODE("twice-chunk", large_twice(MIB, 0))
    MODE("twice-chunk-later", large_twice(MIB, 1))
    MODE("twice-run", large_twice(RUNS, 0))
    MODE("twice-run-later", large_twice(3 * MIB + 1, 1))
    MODE("twice-direct", large_twice(16 * MIB, 0))
    MODE("twice-direct-later", large_twice(16 * MIB, 1))
    MODE("twice-large-run", large_twice(17 * MIB + 1, 0))
    MODE("twice-rounded", large_twice(300 * MIB, 0))
    MODE("twice-huge", large_twice(9 * GIB, 0))
    MODE("twice-huge-later", large_twice(9 * GIB, 1))
    MODE("resize-freed", resized_after_free())
    MODE("resize-freed-chunk", large_resized(MIB))
    MODE("resize-freed-run", large_resized(RUNS))
    MODE("resize-freed-direct", large_resized(16 * MIB))
    else
    {
        fail("no such misuse: %s\n", mode);
    }
    print("survived\n");
    return 3;
}
