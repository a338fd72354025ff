/* Threads end while blocks of theirs are live.
 * orphans freed-later|adopted|exit-now */
#include "check.h"
#include <stdatomic.h>

#define PER_THREAD 4000

struct share {
    unsigned char *start[PER_THREAD];
    size_t size[PER_THREAD];
    uint64_t seed;
};

static void *allocate_and_end(void *argument)
{
    struct share *share = (struct share *)argument;
    uint64_t random = share->seed;
    for (size_t i = 0; i < PER_THREAD; i++) {
        share->size[i] = 1 + draw_size(&random, i % 200 == 0 ? RUN : i % 16 == 0 ? POOLED : SMALL);
        share->start[i] = (unsigned char *)malloc(share->size[i]);
        CHECK(share->start[i] != NULL, "%zu bytes refused\n", share->size[i]);
        fill(share->start[i], share->size[i], share->seed + i);
    }
    return NULL;
}

/* Other threads check and free what ended threads left; what is left over must not pile up. */
static void *free_all(void *argument)
{
    struct share *share = (struct share *)argument;
    for (size_t i = 0; i < PER_THREAD; i++) {
        CHECK_CONTENT(share->start[i], share->size[i], share->seed + i);
        free(share->start[i]);
    }
    return NULL;
}

static void freed_later(void)
{
    struct share *shares = (struct share *)own_memory(4 * sizeof *shares);
    size_t early = 0;
    for (uint64_t round = 0; round < 30; round++) {
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            shares[i].seed = round * 100 + i + 1;
            start(&threads[i], allocate_and_end, &shares[i]);
        }
        for (int i = 0; i < 4; i++) {
            join(threads[i]);
        }
        if (round % 2 == 0) {
            for (int i = 0; i < 4; i++) {
                free_all(&shares[i]);
            }
        } else {
            start(&threads[0], free_all, &shares[0]);
            start(&threads[1], free_all, &shares[1]);
            free_all(&shares[2]);
            free_all(&shares[3]);
            join(threads[0]);
            join(threads[1]);
        }
        if (round == 7) {
            early = resident_bytes();
        }
    }
    size_t late = resident_bytes();
    CHECK(late < early + 48 * MIB, "memory: %zu MiB resident after 8 rounds, %zu after 30\n", early / MIB, late / MIB);
}

/* Each generation leaves one block in a hundred behind for good. The room around those must serve later generations. */
#define GENERATION 40000
static unsigned char *generation[GENERATION];

static void *allocate_generation(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < GENERATION; i++) {
        generation[i] = (unsigned char *)malloc(64 + i % 8 * 64);
        CHECK(generation[i] != NULL, "%zu bytes refused\n", 64 + i % 8 * 64);
        memset(generation[i], 1, 64 + i % 8 * 64);
    }
    return NULL;
}

static void adopted(void)
{
    size_t first = 0;
    for (int round = 0; round < 100; round++) {
        pthread_t thread;
        start(&thread, allocate_generation, NULL);
        join(thread);
        for (size_t i = 0; i < GENERATION; i++) {
            if (i % 100 != (size_t)round) {
                free(generation[i]);
            }
        }
        if (round == 9) {
            first = resident_bytes();
        }
    }
    size_t last = resident_bytes();
    /* 90 generations of 12 MiB, of which 10 MiB in all are kept. */
    CHECK(last < first + 64 * MIB, "memory: %zu MiB resident after 10 generations, %zu after 100\n", first / MIB,
          last / MIB);
}

static atomic_int busy;

static void *allocate_for_ever(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 5;
    void *blocks[64] = {NULL};
    atomic_fetch_add(&busy, 1);
    for (;;) {
        size_t at = draw_below(&random, 64);
        free(blocks[at]);
        blocks[at] = malloc(draw_size(&random, POOLED));
    }
    return NULL;
}

static void *last_words;

static void at_the_end(void)
{
    free(last_words);
    for (int i = 0; i < 1000; i++) {
        free(malloc((size_t)i * 10));
    }
}

/* The process exits while other threads allocate. */
static void exit_now(void)
{
    last_words = malloc(1000);
    atexit(at_the_end);
    for (long i = 0; i < 4; i++) {
        pthread_t thread;
        start(&thread, allocate_for_ever, (void *)i);
        pthread_detach(thread);
    }
    while (atomic_load(&busy) < 4) {
        usleep(100);
    }
    usleep(20000);
    exit(0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: orphans freed-later|adopted|exit-now\n");
    if (strcmp(argv[1], "freed-later") == 0) {
        freed_later();
    } else if (strcmp(argv[1], "adopted") == 0) {
        adopted();
    } else {
        exit_now();
    }
    return 0;
}
