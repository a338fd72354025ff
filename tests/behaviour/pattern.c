/* Random operations over every size route. Every block is filled when it is had and checked in full before it goes, so
 * that two blocks that share a byte are found out; in a single thread the address ranges are compared as well.
 * pattern SEED OPERATIONS THREADS LIVE-MIB ROUTES     ROUTES: how many of the routes, from the smallest sizes up */
#include "check.h"
#include <stdatomic.h>

#define SLOTS 6000

struct block {
    unsigned char *start;
    size_t size;
    size_t usable;
    uint64_t key;
};

/* A slot is owned by whoever swapped its entry out. */
static _Atomic(struct block *) slots[SLOTS];
static struct block *entries;
static _Atomic size_t live_bytes;
static size_t live_limit;
static int route_count;
static long operations;
static int threads;
static uint64_t seed;

/* Blocks beyond 256 MiB are touched in their first and last 64 KiB only. */
static size_t edge(const struct block *block)
{
    return block->size > 256 * MIB ? 64 * KIB : 0;
}

static void fill_block(const struct block *block)
{
    if (edge(block) != 0) {
        fill(block->start, edge(block), block->key);
        fill(block->start + block->size - edge(block), edge(block), ~block->key);
    } else {
        fill(block->start, block->size, block->key);
    }
}

static void check_block(const struct block *block)
{
    if (edge(block) != 0) {
        CHECK_CONTENT(block->start, edge(block), block->key);
        CHECK_CONTENT(block->start + block->size - edge(block), edge(block), ~block->key);
    } else {
        CHECK_CONTENT(block->start, block->size, block->key);
    }
}

/* The live ranges, by address; kept in single-threaded runs. */
static struct block **ranges;
static size_t range_count;

static size_t range_at(const unsigned char *start)
{
    size_t low = 0, high = range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle]->start < start) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void add_range(struct block *block)
{
    if (threads > 1) {
        return;
    }
    size_t at = range_at(block->start);
    if (at < range_count) {
        CHECK(block->start + block->usable <= ranges[at]->start, "overlap: %p of %zu bytes reaches into %p of %zu\n",
              (void *)block->start, block->size, (void *)ranges[at]->start, ranges[at]->size);
    }
    if (at > 0) {
        CHECK(ranges[at - 1]->start + ranges[at - 1]->usable <= block->start,
              "overlap: %p of %zu bytes reaches into %p of %zu\n", (void *)ranges[at - 1]->start, ranges[at - 1]->size,
              (void *)block->start, block->size);
    }
    memmove(ranges + at + 1, ranges + at, (range_count - at) * sizeof *ranges);
    ranges[at] = block;
    range_count++;
}

static void remove_range(const struct block *block)
{
    if (threads > 1) {
        return;
    }
    size_t at = range_at(block->start);
    CHECK(at < range_count && ranges[at] == block, "overlap: the range of %p is lost\n", (void *)block->start);
    range_count--;
    memmove(ranges + at, ranges + at + 1, (range_count - at) * sizeof *ranges);
}

/* Large routes cost time to fill: they are drawn seldom. */
static enum route draw_route(uint64_t *random)
{
    static const int weights[ROUTES] = {400, 400, 200, 8, 30, 1, 1, 2};
    int total = 0;
    for (int i = 0; i < route_count; i++) {
        total += weights[i];
    }
    int drawn = (int)draw_below(random, (size_t)total);
    int route = 0;
    while (drawn >= weights[route]) {
        drawn -= weights[route++];
    }
    return (enum route)route;
}

static void obtain(struct block *block, uint64_t *random)
{
    enum route route = draw_route(random);
    size_t size = draw_size(random, route);
    size_t align = size >= 16 ? 16 : 8;
    void *start = NULL;
    switch (draw_below(random, 8)) {
    case 0:
        start = calloc(1, size);
        if (start != NULL) {
            size_t look = size > 256 * MIB ? 64 * KIB : size;
            CHECK(first_nonzero(start, look) == look, "calloc of %zu is not zero\n", size);
        }
        break;
    case 1:
        align = (size_t)8 << draw_below(random, 11);
        start = aligned_alloc(align, size);
        break;
    case 2:
        align = (size_t)8 << draw_below(random, 18);
        CHECK(posix_memalign(&start, align, size) == 0, "posix_memalign of %zu failed\n", size);
        break;
    case 3:
        start = realloc(NULL, size);
        break;
    default:
        start = malloc(size);
    }
    CHECK(start != NULL, "%zu bytes refused\n", size);
    CHECK((uintptr_t)start % align == 0, "%p of %zu bytes is not aligned to %zu\n", start, size, align);
    block->start = (unsigned char *)start;
    block->size = size;
    block->usable = malloc_usable_size(start);
    CHECK(block->usable >= size, "usable size below the request\n");
    block->key = draw(random);
    live_bytes += edge(block) != 0 ? 2 * edge(block) : size;
    add_range(block);
    fill_block(block);
}

static void resize(struct block *block, uint64_t *random)
{
    size_t size = draw_size(random, draw_route(random));
    if (size == 0) {
        size = 1;
    }
    check_block(block);
    remove_range(block);
    live_bytes -= edge(block) != 0 ? 2 * edge(block) : block->size;
    unsigned char *moved = (unsigned char *)realloc(block->start, size);
    CHECK(moved != NULL, "realloc to %zu bytes refused\n", size);
    size_t kept = size < block->size ? size : block->size;
    kept = edge(block) != 0 ? (size < edge(block) ? size : edge(block)) : kept;
    CHECK_CONTENT(moved, kept, block->key);
    block->start = moved;
    block->size = size;
    block->usable = malloc_usable_size(moved);
    CHECK(block->usable >= size, "usable size below the request\n");
    live_bytes += edge(block) != 0 ? 2 * edge(block) : size;
    add_range(block);
    fill_block(block);
}

static void release(struct block *block)
{
    check_block(block);
    remove_range(block);
    live_bytes -= edge(block) != 0 ? 2 * edge(block) : block->size;
    free(block->start);
    block->start = NULL;
}

static void *work(void *argument)
{
    uint64_t random = seed * 1000003 + (uint64_t)(uintptr_t)argument + 1;
    for (long i = 0; i < operations; i++) {
        size_t at = draw_below(&random, SLOTS);
        struct block *block = atomic_exchange(&slots[at], NULL);
        if (block == NULL) {
            continue;
        }
        if (block->start == NULL) {
            if (live_bytes < live_limit) {
                obtain(block, &random);
            }
        } else if (draw_below(&random, 5) == 0) {
            resize(block, &random);
        } else {
            release(block);
        }
        atomic_store(&slots[at], block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 6, "usage: pattern SEED OPERATIONS THREADS LIVE-MIB ROUTES\n");
    seed = strtoul(argv[1], NULL, 10);
    operations = strtol(argv[2], NULL, 10);
    threads = (int)strtol(argv[3], NULL, 10);
    live_limit = strtoul(argv[4], NULL, 10) * MIB;
    route_count = (int)strtol(argv[5], NULL, 10);
    CHECK(threads <= 16 && route_count >= 1 && route_count <= ROUTES, "an argument is out of range\n");
    entries = (struct block *)own_memory(SLOTS * sizeof *entries);
    ranges = (struct block **)own_memory((SLOTS + 1) * sizeof *ranges);
    for (size_t i = 0; i < SLOTS; i++) {
        atomic_store(&slots[i], &entries[i]);
    }
    pthread_t started[16];
    for (long i = 1; i < threads; i++) {
        start(&started[i], work, (void *)i);
    }
    work(NULL);
    for (int i = 1; i < threads; i++) {
        join(started[i]);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (entries[i].start != NULL) {
            release(&entries[i]);
        }
    }
    CHECK(live_bytes == 0, "the count of live bytes is off\n");
    return 0;
}
