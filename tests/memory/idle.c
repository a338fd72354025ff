/* What goes back when a program frees most of its memory and then makes no further call.
 *
 *   idle HOW ENDING SECONDS
 *
 * Four threads allocate and write 1 GiB together, in blocks of 16 bytes to 230 KiB, equally many of each power of
 * two. HOW says what stays: `tenth` the first tenth, `random` each tenth block by lot. ENDING says what becomes of the
 * threads then: `blocked` or `ended`. Ten seconds later resident memory is read, and processor time over SECONDS more.
 * Prints one line of JSON. The program's own tables are mappings of its own. */

#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 4, LARGEST = 230 * 1024 };
static const size_t TOTAL = (size_t)1 << 30;
static const size_t MOST = (size_t)1 << 22;

struct block {
    char *at;
    size_t size;
};

static struct block *blocks[THREADS];
static size_t counts[THREADS];
static int by_lot, ending;
static pthread_barrier_t barrier;

static void *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        exit(2);
    }
    return at;
}

static void *work(void *argument)
{
    size_t thread = (size_t)argument, n = 0;
    uint64_t state = seed(thread);
    struct block *mine = blocks[thread];
    for (size_t got = 0; got < TOTAL / THREADS && n < MOST; n++) {
        size_t size = (size_t)16 << draw(&state) % 14;
        size += draw(&state) % size;
        mine[n].size = size < LARGEST ? size : LARGEST;
        mine[n].at = malloc(mine[n].size);
        if (mine[n].at == NULL) {
            exit(2);
        }
        memset(mine[n].at, 1, mine[n].size);
        got += mine[n].size;
    }
    counts[thread] = n;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (size_t i = by_lot ? 0 : n / 10; i < n; i++) {
        if (!by_lot || draw(&state) % 10 != 0) {
            free(mine[i].at);
            mine[i].at = NULL;
        }
    }
    pthread_barrier_wait(&barrier);
    while (!ending) {
        pause();
    }
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Pages that hold a byte of a block that is kept. */
static size_t pages_in_use(size_t *freed)
{
    size_t *pages = map((size_t)1 << 33), n = 0, distinct = 0;
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < counts[t]; i++) {
            struct block b = blocks[t][i];
            if (b.at == NULL) {
                *freed += b.size;
                continue;
            }
            for (size_t p = (size_t)b.at / PAGE; p <= ((size_t)b.at + b.size - 1) / PAGE; p++) {
                pages[n++] = p;
            }
        }
    }
    qsort(pages, n, sizeof *pages, by_number);
    for (size_t i = 0; i < n; i++) {
        distinct += i == 0 || pages[i] != pages[i - 1];
    }
    munmap(pages, (size_t)1 << 33);
    return distinct;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: idle tenth|random blocked|ended SECONDS\n", stderr);
        return 2;
    }
    by_lot = strcmp(argv[1], "random") == 0;
    ending = strcmp(argv[2], "ended") == 0;
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        blocks[t] = map(MOST * sizeof(struct block));
    }
    size_t before = resident();
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t t = 0; t < THREADS; t++) {
        pthread_create(&threads[t], NULL, work, (void *)t);
    }
    pthread_barrier_wait(&barrier);
    size_t full = resident();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (int t = 0; t < THREADS && ending; t++) {
        pthread_join(threads[t], NULL);
    }
    size_t freed = 0, tables = 0, used = pages_in_use(&freed);
    for (int t = 0; t < THREADS; t++) {
        tables += counts[t] * sizeof(struct block);
    }
    sleep(10);
    size_t after = resident();
    double start = processor_time();
    sleep((unsigned)atoi(argv[3]));
    double idle = processor_time() - start;
    size_t whole = full - before - tables - used * PAGE;
    printf("{\"full\":%zu,\"after\":%zu,\"freed\":%zu,\"free_pages\":%zu,\"idle_seconds\":%.6f}\n", full, after, freed, whole, idle);
    fflush(stdout);
    _exit(0);
}
