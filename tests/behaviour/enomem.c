/* Memory runs out under a limit on the address space, is freed, and can be had again.
 * enomem SMALLEST LARGEST THREADS      sizes of the blocks in bytes */
#include "check.h"
#include <sys/resource.h>

#define MOST 4000000
static void **blocks;
static size_t smallest, largest;

/* Allocates until refused; returns the bytes had. */
static size_t exhaust(size_t first, size_t step, size_t *count)
{
    uint64_t random = first + 1;
    size_t bytes = 0;
    *count = 0;
    for (size_t at = first; at < MOST; at += step) {
        size_t size = smallest + draw_below(&random, largest - smallest + 1);
        errno = 0;
        void *block = at % 3 == 0 ? calloc(1, size) : malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "enomem: errno is %d after a refusal\n", errno);
            return bytes;
        }
        memset(block, 1, size < 4096 ? size : 4096);
        blocks[at] = block;
        bytes += size;
        ++*count;
    }
    fail("enomem: the limit was never reached\n");
}

static void release(size_t first, size_t step, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(blocks[first + i * step]);
    }
}

static long threads;

static void *in_thread(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    for (int round = 0; round < 3; round++) {
        size_t count;
        exhaust(self, (size_t)threads, &count);
        release(self, (size_t)threads, count);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4, "usage: enomem SMALLEST LARGEST THREADS\n");
    smallest = strtoul(argv[1], NULL, 10);
    largest = strtoul(argv[2], NULL, 10);
    threads = strtol(argv[3], NULL, 10);
    blocks = (void **)own_memory(MOST * sizeof *blocks);
    pthread_t started[8];
    struct rlimit limit;
    free(malloc(100));
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit failed\n");
    if (limit.rlim_cur == RLIM_INFINITY) {
        /* As the process is now and a little more: what is reserved already can be used, nothing else. */
        limit.rlim_cur = limit.rlim_max = virtual_bytes() + 100 * MIB;
        struct rlimit data = {600 * MIB, 600 * MIB};
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0 && setrlimit(RLIMIT_DATA, &data) == 0, "setrlimit failed\n");
    }
    if (threads > 1) {
        for (long i = 1; i < threads; i++) {
            start(&started[i], in_thread, (void *)i);
        }
        in_thread(NULL);
        for (long i = 1; i < threads; i++) {
            join(started[i]);
        }
    }
    size_t first = 0, count;
    for (int round = 0; round < 4; round++) {
        size_t bytes = exhaust(0, 1, &count);
        CHECK(bytes > 16 * MIB, "enomem: refused after only %zu KiB in round %d\n", bytes / KIB, round);
        if (round == 0) {
            first = bytes;
        }
        CHECK(bytes > first / 4 * 3, "enomem: %zu MiB the first time, %zu MiB after all was freed\n", first / MIB, bytes / MIB);
        /* A little back is enough for a little. */
        size_t back = count < 100 ? 1 : count / 50, size = malloc_usable_size(blocks[count - 1]);
        release(count - back, 1, back);
        void *block = malloc(size);
        CHECK(block != NULL, "enomem: %zu bytes refused though as many were freed\n", size);
        free(block);
        release(0, 1, count - back);
    }
    return 0;
}
