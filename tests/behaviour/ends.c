/* malloc and free before main, after main and while threads end.
 * ends key|early-key|main-key|atexit|destructor|constructor */
#include "check.h"
#include <limits.h>
#include <stdatomic.h>

#define KEPT 300

/* Blocks of all routes, allocated at one moment of the process's life and used at another. */
struct kept {
    unsigned char *start[KEPT];
    size_t size[KEPT];
};

static void allocate(struct kept *kept, uint64_t seed)
{
    for (size_t i = 0; i < KEPT; i++) {
        kept->size[i] = 1 + draw_size(&seed, i % 150 == 0 ? RUN : i % 12 == 0 ? POOLED : SMALL);
        kept->start[i] = (unsigned char *)malloc(kept->size[i]);
        CHECK(kept->start[i] != NULL, "%zu bytes refused at this moment\n", kept->size[i]);
        CHECK((uintptr_t)kept->start[i] % 8 == 0, "%p is not aligned\n", (void *)kept->start[i]);
        fill(kept->start[i], kept->size[i], i);
    }
}

/* Frees a half, allocates and frees others in between, keeps the rest. */
static void churn(struct kept *kept, uint64_t seed)
{
    struct kept fresh;
    for (size_t i = 0; i < KEPT; i += 2) {
        CHECK_CONTENT(kept->start[i], kept->size[i], i);
        free(kept->start[i]);
    }
    allocate(&fresh, seed);
    for (size_t i = 0; i < KEPT; i++) {
        CHECK_CONTENT(fresh.start[i], fresh.size[i], i);
        free(fresh.start[i]);
    }
    for (size_t i = 0; i < KEPT; i += 2) {
        kept->size[i] = 100;
        kept->start[i] = (unsigned char *)calloc(1, 100);
        CHECK(kept->start[i] != NULL && first_nonzero(kept->start[i], 100) == 100, "calloc is not zero at this moment\n");
        kept->start[i] = (unsigned char *)realloc(kept->start[i], 100);
        fill(kept->start[i], 100, i);
    }
}

static void release(struct kept *kept)
{
    for (size_t i = 0; i < KEPT; i++) {
        CHECK_CONTENT(kept->start[i], kept->size[i], i);
        free(kept->start[i]);
    }
}

static atomic_int expected, seen;
static struct kept early;
static pthread_key_t keys[20];
static __thread struct kept *of_thread;
static __thread int rounds;

/* The keys exist before the thread's first allocation or only after it: destructors run in the order of the keys. */
static int keys_first;

/* Runs again and again for as long as the system lets a destructor re-arm, working on blocks of the thread, of the main
 * thread and of the moment. */
static void on_thread_end(void *value)
{
    pthread_key_t again = keys_first ? keys[0] : keys[19];
    struct kept *kept = (struct kept *)value;
    churn(kept, (uint64_t)(uintptr_t)value + 3);
    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(again, value);
        return;
    }
    release(kept);
    munmap(kept, sizeof *kept);
    seen++;
}

static void create_keys(void)
{
    for (int i = 0; i < 20; i++) {
        CHECK(pthread_key_create(&keys[i], on_thread_end) == 0, "no key\n");
    }
}

static void *thread_with_key(void *argument)
{
    of_thread = (struct kept *)own_memory(sizeof *of_thread);
    if (keys_first) {
        pthread_setspecific(keys[0], of_thread);
        allocate(of_thread, (uint64_t)(uintptr_t)argument + 1);
    } else {
        allocate(of_thread, (uint64_t)(uintptr_t)argument + 1);
        pthread_setspecific(keys[19], of_thread);
    }
    return NULL;
}

static void with_keys(void)
{
    pthread_t threads[8];
    if (!keys_first) {
        free(malloc(100));
        create_keys();
    }
    for (int round = 0; round < 5; round++) {
        for (long i = 0; i < 8; i++) {
            expected++;
            start(&threads[i], thread_with_key, (void *)i);
        }
        for (int i = 0; i < 8; i++) {
            join(threads[i]);
        }
    }
    CHECK(seen == expected, "%d of %d threads came to their end\n", seen, expected);
}

static const char *mode = "";

static void at_exit(void)
{
    churn(&early, 17);
    release(&early);
    seen++;
}

__attribute__((constructor)) static void before_main(int argc, char **argv)
{
    mode = argc == 2 ? argv[1] : "";
    if (strcmp(mode, "constructor") == 0) {
        allocate(&early, 1);
        churn(&early, 2);
        seen++;
    } else if (strcmp(mode, "early-key") == 0) {
        keys_first = 1;
        create_keys();
    }
}

/* Runs after every atexit handler. */
__attribute__((destructor)) static void after_main(void)
{
    if (strcmp(mode, "destructor") == 0) {
        at_exit();
        struct kept again;
        allocate(&again, 5);
        release(&again);
    }
    CHECK(strcmp(mode, "") == 0 || seen > 0, "%s never happened\n", mode);
}

static void *outlive_main(void *main_thread)
{
    join(*(pthread_t *)main_thread);
    struct kept last;
    allocate(&last, 4);
    release(&last);
    CHECK(seen == 1, "the main thread's destructor did not run\n");
    exit(0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: ends key|early-key|main-key|atexit|destructor|constructor\n");
    (void)argv;
    if (strcmp(mode, "key") == 0 || strcmp(mode, "early-key") == 0) {
        with_keys();
    } else if (strcmp(mode, "main-key") == 0) {
        /* The main thread ends as a thread, and the process goes on without it. */
        static pthread_t self, other;
        self = pthread_self();
        of_thread = (struct kept *)own_memory(sizeof *of_thread);
        allocate(of_thread, 1);
        create_keys();
        pthread_setspecific(keys[19], of_thread);
        start(&other, outlive_main, &self);
        pthread_exit(NULL);
    } else if (strcmp(mode, "atexit") == 0) {
        allocate(&early, 1);
        CHECK(atexit(at_exit) == 0, "atexit failed\n");
    } else if (strcmp(mode, "destructor") == 0) {
        allocate(&early, 1);
    } else if (strcmp(mode, "constructor") == 0) {
        release(&early);
    } else {
        fail("no such mode\n");
    }
    return 0;
}
