/* Blocks freed by other threads than the one that allocated them, content checked at every station, memory bounded.
 * remote ring|fan-in|fan-out|pipeline THREADS BLOCKS */
#include "check.h"
#include <sched.h>
#include <stdatomic.h>

struct block {
    unsigned char *start;
    size_t size;
    uint64_t key;
    int hops;
};

/* A bounded queue between two threads. */
#define CAPACITY 256
struct queue {
    _Alignas(64) atomic_size_t head;
    _Alignas(64) atomic_size_t tail;
    struct block items[CAPACITY];
};

static int try_put(struct queue *queue, const struct block *block)
{
    size_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&queue->head, memory_order_acquire) == CAPACITY) {
        return 0;
    }
    queue->items[tail % CAPACITY] = *block;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
    return 1;
}

static int try_get(struct queue *queue, struct block *block)
{
    size_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&queue->tail, memory_order_acquire)) {
        return 0;
    }
    *block = queue->items[head % CAPACITY];
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    return 1;
}

static void put(struct queue *queue, const struct block *block)
{
    while (!try_put(queue, block)) {
        sched_yield();
    }
}

static void get(struct queue *queue, struct block *block)
{
    while (!try_get(queue, block)) {
        sched_yield();
    }
}

static int threads;
static long blocks;
static struct queue queues[16];

static struct block create(uint64_t *random)
{
    size_t pick = draw_below(random, 1000);
    enum route route = pick < 600 ? TINY : pick < 850 ? SMALL : pick < 993 ? POOLED : pick < 994 ? CHUNK : RUN;
    struct block block = {NULL, draw_size(random, route), draw(random), 0};
    block.start = (unsigned char *)malloc(block.size);
    CHECK(block.start != NULL, "%zu bytes refused\n", block.size);
    fill(block.start, block.size, block.key);
    return block;
}

static void destroy(const struct block *block)
{
    CHECK_CONTENT(block->start, block->size, block->key);
    free(block->start);
}

/* Everyone receives from the left, writes the block anew and hands it to the right; after a few hops it is freed. */
static void *ring(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    struct queue *from = &queues[self], *to = &queues[(self + 1) % (size_t)threads];
    uint64_t random = self + 1;
    long made = 0;
    static atomic_long all_freed;
    while (atomic_load(&all_freed) < blocks * threads) {
        struct block block;
        if (try_get(from, &block)) {
            CHECK_CONTENT(block.start, block.size, block.key);
            block.key++;
            fill(block.start, block.size, block.key);
            if (++block.hops >= 1 + (int)(block.key % (uint64_t)threads) || !try_put(to, &block)) {
                destroy(&block);
                atomic_fetch_add(&all_freed, 1);
            }
        } else if (made < blocks) {
            block = create(&random);
            made++;
            if (!try_put(to, &block)) {
                destroy(&block);
                atomic_fetch_add(&all_freed, 1);
            }
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void *produce(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    uint64_t random = self + 1;
    for (long i = 0; i < blocks; i++) {
        struct block block = create(&random);
        put(&queues[self], &block);
    }
    return NULL;
}

static void *consume(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    for (long i = 0; i < blocks; i++) {
        struct block block;
        get(&queues[self], &block);
        destroy(&block);
    }
    return NULL;
}

/* All others allocate, the main thread frees. */
static void fan_in(void)
{
    for (long left = blocks * (threads - 1); left > 0;) {
        int idle = 1;
        for (int i = 1; i < threads; i++) {
            struct block block;
            if (try_get(&queues[i], &block)) {
                destroy(&block);
                left--;
                idle = 0;
            }
        }
        if (idle) {
            sched_yield();
        }
    }
}

/* The main thread allocates, all others free. */
static void fan_out(void)
{
    uint64_t random = 99;
    for (long i = 0; i < blocks; i++) {
        for (int to = 1; to < threads; to++) {
            struct block block = create(&random);
            put(&queues[to], &block);
        }
    }
}

/* A station of the pipeline resizes what it gets and hands it on; the last one frees. */
static void *station(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    uint64_t random = self + 1;
    for (long i = 0; i < blocks; i++) {
        struct block block;
        if (self == 0) {
            block = create(&random);
        } else {
            get(&queues[self], &block);
        }
        if (self + 1 == (size_t)threads) {
            destroy(&block);
            continue;
        }
        if (self > 0) {
            size_t size = 1 + draw_size(&random, POOLED);
            size_t kept = size < block.size ? size : block.size;
            block.start = (unsigned char *)realloc(block.start, size);
            CHECK(block.start != NULL, "%zu bytes refused\n", size);
            CHECK_CONTENT(block.start, kept, block.key);
            block.size = size;
            fill(block.start, size, block.key);
        }
        put(&queues[self + 1], &block);
    }
    return NULL;
}

static void run(void *(*body)(void *), long first)
{
    pthread_t started[16];
    for (long i = first; i < threads; i++) {
        start(&started[i], body, (void *)i);
    }
    if (body == produce) {
        fan_in();
    } else if (body == consume) {
        fan_out();
    }
    for (long i = first; i < threads; i++) {
        join(started[i]);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 4, "usage: remote ring|fan-in|fan-out|pipeline THREADS BLOCKS\n");
    threads = (int)strtol(argv[2], NULL, 10);
    blocks = strtol(argv[3], NULL, 10);
    CHECK(threads >= 2 && threads <= 16, "2 to 16 threads\n");
    if (strcmp(argv[1], "ring") == 0) {
        run(ring, 0);
    } else if (strcmp(argv[1], "fan-in") == 0) {
        run(produce, 1);
    } else if (strcmp(argv[1], "fan-out") == 0) {
        run(consume, 1);
    } else {
        run(station, 0);
    }
    /* At most 16 queues of 256 blocks of 6 KiB on average were under way, out of hundreds of MiB that went through. */
    size_t resident = resident_bytes();
    CHECK(resident < 160 * MIB, "memory: %zu MiB resident after all was freed\n", resident / MIB);
    return 0;
}
