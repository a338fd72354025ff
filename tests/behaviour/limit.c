/* A program under a limit of resident memory (ALOOF_LIMIT).
 *
 * limit churn LIVE TRAFFIC CEILING     MiB: lives with so much while so much passes through, and is refused nothing
 * limit beyond CEILING THREADS         MiB: is refused what does not fit, and served again after it freed */
#include "check.h"
#include <sys/resource.h>

#define MOST ((size_t)1 << 20)
struct block {
    char *at;
    size_t size;
    uint64_t key;
};
static struct block *blocks;

static void check_ceiling(const char *when, size_t ceiling)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage failed\n");
    size_t peak = (size_t)usage.ru_maxrss * KIB;
    CHECK(peak <= ceiling, "limit: %zu MiB resident %s, beyond %zu\n", peak / MIB, when, ceiling / MIB);
}

/* Mostly small blocks, and now and then one of every other route; half of the bytes in each. */
static size_t draw_any(uint64_t *state)
{
    return draw_below(state, 64) != 0 ? 16 + draw_below(state, 4 * KIB) : KIB << draw_below(state, 10);
}

static void free_block(struct block *block)
{
    CHECK_CONTENT(block->at, block->size, block->key);
    free(block->at);
    block->at = NULL;
}

static void churn(size_t live, size_t traffic, size_t ceiling)
{
    uint64_t random = 7;
    size_t count = 0, now = 0;
    for (size_t passed = 0; passed < traffic;) {
        struct block new = {NULL, draw_any(&random), passed};
        while (now + new.size > live) {
            struct block *old = &blocks[draw_below(&random, count)];
            now -= old->size;
            free_block(old);
            *old = blocks[--count];
        }
        new.at = (char *)malloc(new.size);
        CHECK(new.at != NULL, "limit: %zu bytes refused with %zu MiB live\n", new.size, now / MIB);
        fill(new.at, new.size, new.key);
        CHECK(count < MOST, "limit: more blocks than the test has room for\n");
        blocks[count++] = new;
        now += new.size;
        passed += new.size;
    }
    CHECK(now > live / 10 * 9, "limit: only %zu MiB live\n", now / MIB);
    check_ceiling("in steady churn", ceiling);
    while (count > 0) {
        free_block(&blocks[--count]);
    }
}

static size_t share, stride;

static void *beyond(void *argument)
{
    struct block *mine = blocks + (size_t)(uintptr_t)argument * stride;
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;
    for (int round = 0; round < 4; round++) {
        size_t count = 0, had = 0;
        for (;; count++) {
            struct block new = {NULL, draw_any(&random), random};
            errno = 0;
            new.at = (char *)malloc(new.size);
            if (new.at == NULL) {
                CHECK(errno == ENOMEM, "limit: errno is %d after a refusal\n", errno);
                break;
            }
            CHECK(count < stride, "limit: nothing was refused\n");
            fill(new.at, new.size, new.key);
            mine[count] = new;
            had += new.size;
        }
        CHECK(had >= share, "limit: refused after %zu MiB in round %d\n", had / MIB, round);
        while (count > 0) {
            free_block(&mine[--count]);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc >= 4, "usage: limit churn LIVE TRAFFIC CEILING | limit beyond CEILING THREADS\n");
    blocks = (struct block *)own_memory(MOST * sizeof *blocks);
    if (strcmp(argv[1], "churn") == 0) {
        CHECK(argc == 5, "usage: limit churn LIVE TRAFFIC CEILING\n");
        churn(strtoul(argv[2], NULL, 10) * MIB, strtoul(argv[3], NULL, 10) * MIB, strtoul(argv[4], NULL, 10) * MIB);
        return 0;
    }
    size_t ceiling = strtoul(argv[2], NULL, 10) * MIB, threads = strtoul(argv[3], NULL, 10);
    stride = MOST / threads;
    /* Alone a thread gets most of it; of several, one may be refused while the others still hold theirs. */
    share = threads == 1 ? ceiling / 4 * 3 : 0;
    pthread_t started[8];
    for (size_t i = 1; i < threads; i++) {
        start(&started[i], beyond, (void *)i);
    }
    beyond(NULL);
    for (size_t i = 1; i < threads; i++) {
        join(started[i]);
    }
    check_ceiling("at the limit", ceiling);
    size_t most = ceiling / 4 * 3;
    char *block = (char *)malloc(most);
    CHECK(block != NULL, "limit: %zu MiB refused after all was freed\n", most / MIB);
    memset(block, 1, most);
    check_ceiling("afterwards", ceiling);
    free(block);
    return 0;
}
