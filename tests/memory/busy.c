/* Steady churn: what returning memory costs a program that is busy.
 *
 *   busy SECONDS
 *
 * Two threads replace random blocks of 16 bytes to 64 KiB, 50 MiB live each, of which a fifth comes and goes in waves, for so
 * long. On aloof, decay is off and on in turn, half a second each: machines drift, neighbours in time less. Prints one line
 * of JSON: replacements; processor seconds of the whole process (its allocator's threads too) for a million of them, the
 * median of all half seconds, of those with decay and of those without; the ratio of the last two, as the median of the
 * ratios of neighbours; resident bytes. */

#define _GNU_SOURCE
#include "common.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 2, MOST = 1 << 16, WAVE = 1 << 14, SPANS_MOST = 10000 };
static const size_t LIVE = (size_t)50 << 20;

static atomic_int over;
static _Alignas(64) struct {
    atomic_size_t done;
    char line[56];
} replaced[THREADS];

static void *work(void *argument)
{
    size_t self = (size_t)argument, count = 0, live = 0, done = 0;
    uint64_t state = seed(self);
    struct {
        char *at;
        size_t size;
    } *blocks = mmap(NULL, MOST * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blocks == MAP_FAILED) {
        exit(2);
    }
    for (; !atomic_load_explicit(&over, memory_order_relaxed); done++) {
        draw(&state);
        /* Equally many of each power of two. */
        size_t size = (size_t)16 << (state >> 20) % 12;
        size += (state >> 30) % size;
        size_t most = done / WAVE % 2 ? LIVE : LIVE / 5 * 4;
        while (live + size > most || count == MOST) {
            size_t i = (state >> 8) % count;
            if (blocks[i].at[0] != (char)blocks[i].size || blocks[i].at[blocks[i].size - 1] != (char)blocks[i].size) {
                exit(3);
            }
            live -= blocks[i].size;
            free(blocks[i].at);
            blocks[i] = blocks[--count];
        }
        char *at = malloc(size);
        if (at == NULL) {
            exit(2);
        }
        at[0] = at[size - 1] = (char)size;
        blocks[count].at = at;
        blocks[count++].size = size;
        live += size;
        atomic_store_explicit(&replaced[self].done, done, memory_order_relaxed);
    }
    return NULL;
}

static size_t all_replaced(void)
{
    size_t all = 0;
    for (size_t i = 0; i < THREADS; i++) {
        all += atomic_load_explicit(&replaced[i].done, memory_order_relaxed);
    }
    return all;
}

static int in_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, in_order);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    size_t spans = argc == 2 ? (size_t)(atof(argv[1]) * 2) / 2 * 2 : 0;
    if (spans < 2 || spans > SPANS_MOST) {
        fputs("usage: busy SECONDS (1 to 5000)\n", stderr);
        return 2;
    }
    int (*set)(const char *, uint64_t) = (int (*)(const char *, uint64_t))dlsym(RTLD_DEFAULT, "aloof_set");
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    static double cost[SPANS_MOST], ratio[SPANS_MOST], off[SPANS_MOST], on[SPANS_MOST];
    sleep(1);
    for (size_t i = 0; i < spans; i++) {
        if (set != NULL && set("decay_ms", i % 2 == 0 ? UINT64_MAX : 1000) != 0) {
            return 2;
        }
        size_t before = all_replaced();
        double spent = processor_time();
        usleep(500000);
        cost[i] = (processor_time() - spent) / (double)(all_replaced() - before) * 1e6;
        if (i % 2 == 0) {
            off[i / 2] = cost[i];
        } else {
            on[i / 2] = cost[i];
            ratio[i / 2] = cost[i] / cost[i - 1];
        }
    }
    atomic_store(&over, 1);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("{\"replaced\":%zu,\"per_million\":%.5f,\"on\":%.5f,\"off\":%.5f,\"ratio\":%.4f,\"resident\":%zu}\n", all_replaced(),
           median(cost, spans), median(on, spans / 2), median(off, spans / 2), median(ratio, spans / 2), resident());
    return 0;
}
