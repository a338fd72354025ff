/* Steady churn: what returning memory costs a program that is busy.
 *
 *   busy SECONDS
 *
 * Two threads replace random blocks of 16 bytes to 64 KiB, 50 MiB live each, of which a fifth comes and goes in waves, for so
 * long. Prints one line of JSON: replacements, and processor seconds of the whole process (its allocator's threads too)
 * for a million of them. */

#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { THREADS = 2, MOST = 1 << 16, WAVE = 1 << 14 };
static const size_t LIVE = (size_t)50 << 20;

static double seconds;
static size_t replaced[THREADS];

static void *work(void *argument)
{
    size_t self = (size_t)argument, count = 0, live = 0, done = 0;
    uint64_t state = 88172645463325252u + self * 7919;
    struct {
        char *at;
        size_t size;
    } *blocks = mmap(NULL, MOST * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blocks == MAP_FAILED) {
        exit(2);
    }
    for (double end = now() + seconds; (done & 1023) != 0 || now() < end; done++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
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
    }
    replaced[self] = done;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: busy SECONDS\n", stderr);
        return 2;
    }
    seconds = atof(argv[1]);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    size_t all = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all += replaced[i];
    }
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double spent = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
    printf("{\"replaced\":%zu,\"per_million\":%.5f,\"resident\":%zu}\n", all, spent / (double)all * 1e6, resident());
    return 0;
}
