/* Many short threads, each of which leaves blocks to others.
 *
 *   threads COUNT
 *
 * Four at a time; each allocates 100 blocks, most of up to 2 KB and some of up to 100 KB, puts each in a table of 4096
 * places and frees what was there. Prints one line of JSON: resident memory after a tenth of the threads and at the
 * end, its peak, and seconds. */

#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

enum { PLACES = 4096, EACH = 100, AT_ONCE = 4 };

static void *places[PLACES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *argument)
{
    uint64_t x = seed((size_t)argument);
    for (int i = 0; i < EACH; i++) {
        draw(&x);
        size_t size = 16 + (x >> 20) % (i % 20 == 0 ? 100000 : 2000);
        char *block = malloc(size);
        if (block == NULL) {
            exit(2);
        }
        memset(block, 1, size);
        pthread_mutex_lock(&lock);
        void *before = places[(x >> 40) % PLACES];
        places[(x >> 40) % PLACES] = block;
        pthread_mutex_unlock(&lock);
        free(before);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: threads COUNT\n", stderr);
        return 2;
    }
    size_t count = (size_t)atol(argv[1]), early = 0;
    double start = now();
    for (size_t i = 0; i < count; i += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (size_t k = 0; k < AT_ONCE; k++) {
            pthread_create(&threads[k], NULL, work, (void *)(i + k));
        }
        for (size_t k = 0; k < AT_ONCE; k++) {
            pthread_join(threads[k], NULL);
        }
        if (early == 0 && i >= count / 10) {
            early = resident();
        }
    }
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"early\":%zu,\"end\":%zu,\"peak\":%zu,\"seconds\":%.3f}\n", early, resident(), (size_t)u.ru_maxrss * 1024, now() - start);
    return 0;
}
