/* The functions of aloof.h, as a program linked with the library sees them. */
#include "aloof.h"
#include "check.h"

static void stats(void)
{
    aloof_stats_t before, after, part;
    CHECK(aloof_stats(&before, sizeof before) == sizeof before, "aloof_stats: the header and the library differ\n");
    enum { COUNT = 1000, SIZE = 20000 };
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = aloof_malloc(SIZE);
        memset(blocks[i], 1, SIZE);
    }
    void *chunk = aloof_malloc(MIB), *run = aloof_malloc(3 * MIB + 1), *direct = aloof_malloc(16 * MIB), *huge = aloof_malloc(9 * GIB);
    CHECK(chunk != NULL && run != NULL && direct != NULL && huge != NULL, "aloof_malloc: refused\n");
    aloof_stats(&after, sizeof after);
    uint64_t known = (uint64_t)COUNT * SIZE;
    CHECK(after.live_bytes >= before.live_bytes + known + 20 * MIB + 9 * GIB, "aloof_stats: %llu bytes live\n",
          (unsigned long long)after.live_bytes);
    CHECK(after.live_blocks >= before.live_blocks + COUNT + 4, "aloof_stats: %llu blocks live\n",
          (unsigned long long)after.live_blocks);
    CHECK(after.committed_bytes >= after.live_bytes && after.peak_committed_bytes >= after.committed_bytes,
          "aloof_stats: less memory is held than is live\n");
    CHECK(after.reserved_bytes >= after.committed_bytes - 9 * GIB && after.metadata_bytes > 0,
          "aloof_stats: no address space or tables\n");
    CHECK(after.pending_bytes <= after.committed_bytes && after.cached_bytes <= after.committed_bytes,
          "aloof_stats: more memory is free than held\n");
    CHECK(after.threads_started >= 1 && after.threads_peak >= 1, "aloof_stats: no thread\n");
    const size_t least[ALOOF_TIERS] = {known, MIB, 3 * MIB + 1, 16 * MIB, 9 * GIB};
    for (int i = 0; i < ALOOF_TIERS; i++) {
        CHECK(after.tier[i].live_bytes >= before.tier[i].live_bytes + least[i], "aloof_stats: tier %d has %llu bytes\n", i,
              (unsigned long long)after.tier[i].live_bytes);
        CHECK(after.tier[i].allocations > before.tier[i].allocations, "aloof_stats: tier %d served nothing\n", i);
        CHECK(after.tier[i].peak_bytes >= after.tier[i].live_bytes, "aloof_stats: tier %d has a peak below its level\n", i);
    }
    /* An older header knows fewer fields. */
    memset(&part, 0xab, sizeof part);
    CHECK(aloof_stats(&part, sizeof part.live_bytes) == sizeof part, "aloof_stats: its size depends on the caller\n");
    CHECK(part.live_bytes != 0xababababababababu && part.live_blocks == 0xababababababababu,
          "aloof_stats: it writes more or less than it was asked to\n");
    for (int i = 0; i < COUNT; i++) {
        aloof_free(blocks[i]);
    }
    aloof_free(chunk);
    aloof_free(run);
    aloof_free(direct);
    aloof_free(huge);
    aloof_stats(&part, sizeof part);
    CHECK(part.live_bytes < after.live_bytes - 9 * GIB, "aloof_stats: what is freed stays live\n");
}

static void purge(void)
{
    /* Enough to be worth giving back. */
    static void *blocks[4000];
    for (int i = 0; i < 4000; i++) {
        blocks[i] = aloof_malloc(30000);
        memset(blocks[i], 1, 30000);
    }
    size_t full = resident_bytes();
    for (int i = 0; i < 4000; i++) {
        aloof_free(blocks[i]);
    }
    aloof_purge();
    size_t empty = resident_bytes();
    CHECK(empty + 90 * MIB < full, "aloof_purge: %zu MiB resident before freeing, %zu after purging\n", full / MIB, empty / MIB);
}

int main(void)
{
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d", ALOOF_VERSION_MAJOR, ALOOF_VERSION_MINOR, ALOOF_VERSION_PATCH);
    CHECK(strcmp(aloof_version(), expected) == 0, "aloof_version: the library is %s, the header %s\n", aloof_version(), expected);
    CHECK(aloof_usable_size(NULL) == 0, "aloof_usable_size: null has one\n");
    unsigned char *block = aloof_malloc(100);
    CHECK(block != NULL && aloof_usable_size(block) >= 100, "aloof_malloc: refused\n");
    fill(block, 100, 1);
    block = aloof_realloc(block, 70000);
    CHECK(block != NULL, "aloof_realloc: refused\n");
    CHECK_CONTENT(block, 100, 1);
    CHECK(aloof_realloc(block, 0) == NULL, "aloof_realloc: a size of 0 does not free\n");
    block = aloof_calloc(100, 100);
    CHECK(block != NULL && first_nonzero(block, 10000) == 10000, "aloof_calloc: not zero\n");
    aloof_free(block);
    block = aloof_aligned_alloc(4096, 5000);
    CHECK(block != NULL && (uintptr_t)block % 4096 == 0, "aloof_aligned_alloc: %p\n", (void *)block);
    aloof_free(block);
    errno = 0;
    CHECK(aloof_malloc(SIZE_MAX) == NULL && errno == ENOMEM, "aloof_malloc: SIZE_MAX is not ENOMEM\n");
    errno = 0;
    CHECK(aloof_calloc(SIZE_MAX, 2) == NULL && errno == ENOMEM, "aloof_calloc: an overflow is not ENOMEM\n");
    errno = 0;
    CHECK(aloof_aligned_alloc(24, 100) == NULL && errno == EINVAL, "aloof_aligned_alloc: 24 is not EINVAL\n");
    aloof_free(NULL);
    /* The standard names are the same allocator. */
    aloof_free(malloc(100));
    free(aloof_malloc(100));
    stats();
    purge();
    return 0;
}
