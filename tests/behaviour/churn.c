/* Thousands of short threads, each leaving a few blocks to others: memory and address space stay bounded.
 * churn THREADS */
#include "check.h"
#include <stdatomic.h>

#define LEFT 512
#define AT_ONCE 8

/* Blocks that ended threads have left; whoever swaps one out frees it. */
static _Atomic(unsigned char *) left[LEFT];

static void leave(uint64_t *random, unsigned char *block)
{
    unsigned char *other = atomic_exchange(&left[draw_below(random, LEFT)], block);
    if (other != NULL) {
        size_t size = other[0] == 1 ? 40 : 3000;
        CHECK(other[size - 1] == other[0], "content: a block left by an ended thread has changed\n");
        free(other);
    }
}

static void *live_shortly(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;
    void *blocks[100];
    for (int i = 0; i < 100; i++) {
        size_t size = draw_size(&random, i < 95 ? SMALL : i < 99 ? POOLED : RUN);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "%zu bytes refused\n", size);
        memset(blocks[i], i, size);
    }
    for (int i = 0; i < 4; i++) {
        size_t size = i < 2 ? 40 : 3000;
        unsigned char *block = (unsigned char *)malloc(size);
        memset(block, i < 2 ? 1 : 2, size);
        leave(&random, block);
    }
    for (int i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    return NULL;
}

static void generation(long count)
{
    pthread_t threads[AT_ONCE];
    static long number;
    for (long done = 0; done < count; done += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++) {
            start(&threads[i], live_shortly, (void *)++number);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            join(threads[i]);
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: churn THREADS\n");
    long threads = strtol(argv[1], NULL, 10);
    generation(threads / 3);
    size_t resident = resident_bytes(), address = virtual_bytes();
    generation(threads - threads / 3);
    size_t grown = resident_bytes(), wider = virtual_bytes();
    CHECK(grown < resident + 24 * MIB, "memory: %zu KiB resident after a third of the threads, %zu at the end\n",
          resident / KIB, grown / KIB);
    CHECK(wider < address + 256 * MIB, "address space: %zu MiB after a third of the threads, %zu at the end\n",
          address / MIB, wider / MIB);
    return 0;
}
