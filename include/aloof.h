/* aloof: a memory allocator that never touches the memory it hands out.
 *
 * Two ways to use it from C and C++:
 *
 *  1. As the process's malloc. Link with libaloof.so or libaloof.a (before the C library, as any library on the command
 *     line is), or start an unchanged program with LD_PRELOAD=/path/to/libaloof.so. malloc, free, calloc, realloc,
 *     reallocarray, aligned_alloc, memalign, posix_memalign, valloc, pvalloc, malloc_usable_size, free_sized,
 *     free_aligned_sized, cfree, malloc_trim, mallopt, mallinfo, mallinfo2, malloc_info, malloc_stats and every C++
 *     operator new and delete are then aloof's. This header is not needed for that.
 *     The archive comes into a program with the first allocation function that the program names; one that leaves all
 *     allocation to the C library needs -Wl,-u,malloc. A C++ program that replaces operator new or delete itself links with
 *     libaloof.so, or with -Wl,--allow-multiple-definition before the archive. Where the C++ library is inside the
 *     program too, a new-handler that throws ends a nothrow operator new by std::terminate; elsewhere that gives null.
 *  2. Under its own names, declared here, beside whatever malloc the process uses: aloof_malloc and its family. A block
 *     from aloof_malloc goes back through aloof_free. Where aloof is the process's malloc as well, both families are the
 *     same one and blocks may cross over.
 *
 * What holds for every function here and for the standard ones:
 *
 *  - Thread safety: every function may be called from any thread at any time after the loader has bound it: in
 *    constructors, in thread-exit and atexit handlers, and in the child of a fork of a threaded program. A block may be
 *    freed by another thread than the one that allocated it. None may be called from a signal handler.
 *  - Alignment: a block of 16 bytes or more is aligned to 16 at least, a smaller one to 8.
 *  - Size: sizes are in bytes. A request of 0 bytes gives a pointer of its own, which must be freed. Requests above
 *    PTRDIFF_MAX fail.
 *  - Failure: null, with errno set to ENOMEM (memory, address space or a limit exhausted; size out of range; a product
 *    that overflows) or to EINVAL (an alignment that is not a power of two). Nothing else changes, and memory freed
 *    later can be had again. Success leaves errno alone, and so does freeing.
 *  - realloc(p, 0) frees p and returns null, as glibc's does, and errno tells nothing; realloc(NULL, n) is malloc(n). A
 *    realloc that fails leaves the old block as it was.
 *  - Misuse: freeing, resizing or measuring a pointer that is not a live block of this allocator stops the process with
 *    SIGABRT after one line on stderr that names the pointer and the fault: at the call, or, for a small block freed twice
 *    by its own thread, when that thread's cache is next emptied, at the latest when the thread or the process ends.
 *  - Time: malloc and free of blocks of at most 32 KiB take constant time but for a bounded refill or flush every few
 *    dozen calls; larger ones search summaries of bounded depth. calloc clears, and realloc may copy, in time
 *    proportional to the size.
 */
#ifndef ALOOF_H
#define ALOOF_H

#include <stddef.h>
#include <stdint.h>

#define ALOOF_VERSION_MAJOR 0
#define ALOOF_VERSION_MINOR 1
#define ALOOF_VERSION_PATCH 0

#if defined(__GNUC__) || defined(__clang__)
#define ALOOF_ALLOCATES __attribute__((malloc, warn_unused_result))
#define ALOOF_RESULT_USED __attribute__((warn_unused_result))
#else
#define ALOOF_ALLOCATES
#define ALOOF_RESULT_USED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A block of `size` bytes with unspecified content, or null. */
ALOOF_ALLOCATES void *aloof_malloc(size_t size);

/* A block of `count` times `size` bytes, all zero, or null. Memory known to be untouched since the system gave it is not
 * cleared again. */
ALOOF_ALLOCATES void *aloof_calloc(size_t count, size_t size);

/* The block resized to `size` bytes, moved or not, its content kept up to the smaller size; or null, and then the old
 * block is still there. A null `block` allocates; a `size` of 0 frees and returns null. */
ALOOF_RESULT_USED void *aloof_realloc(void *block, size_t size);

/* A block of `size` bytes aligned to `alignment` bytes: any power of two (up to 1 GiB is tested); `size` need not be a
 * multiple of it. Null with EINVAL when the alignment is not a power of two. */
ALOOF_ALLOCATES void *aloof_aligned_alloc(size_t alignment, size_t size);

/* Gives the block back; null is allowed and does nothing. */
void aloof_free(void *block);

/* The bytes that may be used at `block`: at least what was asked for. 0 for null. */
size_t aloof_usable_size(const void *block);

/* Gives every free page back to the system now. Returns 1 if whole sub-regions (4 MiB and more) went back, 0 if at most
 * pages between live blocks did. Takes time proportional to the number of free pieces; other threads may allocate meanwhile. */
int aloof_purge(void);

/* Changes a setting while the program runs, by its name in the environment, less ALOOF_, in lower case: "decay_ms"
 * (milliseconds; UINT64_MAX: never), "retain" (bytes), "limit" (bytes; 0: none), "background" and "huge_pages" (0 or 1).
 * Returns 0, or EINVAL if there is no such setting or it cannot have this value. Any thread may call it. */
int aloof_set(const char *name, uint64_t value);

/* Calls `function` with the resident bytes and `data`, on the thread that allocates, each time resident memory passes
 * `bytes`, before the request that does so returns; once, until it is below again. It may allocate and free. There
 * is one such function; null removes it. Memory is looked at when pools are made and when more than 32 KiB are asked
 * for. */
void aloof_on_soft_limit(size_t bytes, void (*function)(size_t resident, void *data), void *data);

/* The tiers that serve requests, as indices of aloof_stats_t.tier. */
enum {
    ALOOF_TIER_POOL = 0,   /* equal blocks of at most 32 KiB */
    ALOOF_TIER_CHUNK = 1,  /* powers of two from 32 KiB to 4 MiB */
    ALOOF_TIER_RUN = 2,    /* other sizes up to 256 MiB */
    ALOOF_TIER_DIRECT = 3, /* whole sub-regions: powers of two from 4 MiB, and all above 256 MiB */
    ALOOF_TIER_HUGE = 4,   /* above 8 GiB, straight from the system */
    ALOOF_TIERS = 5
};

typedef struct aloof_tier_stats {
    uint64_t allocations; /* blocks served since the start; for pools, blocks handed to the threads' caches */
    uint64_t live_bytes;  /* bytes in blocks that are live now (for pools: live or in a cache) */
    uint64_t peak_bytes;  /* the most that live_bytes has been */
} aloof_tier_stats_t;

/* Fields are only ever added at the end. Byte counts are of memory, not of requests: a block counts with its whole size. */
typedef struct aloof_stats {
    uint64_t live_bytes;           /* in blocks the program holds */
    uint64_t live_blocks;          /* their number */
    uint64_t committed_bytes;      /* accessible memory held from the system, used or not */
    uint64_t peak_committed_bytes; /* the most that committed_bytes has been */
    uint64_t pending_bytes;        /* of them, whole pieces that are free and may go back to the system */
    uint64_t cached_bytes;         /* in free blocks that threads keep at hand */
    uint64_t reserved_bytes;       /* address space held; costs no memory */
    uint64_t metadata_bytes;       /* the allocator's own tables, as far as they are in use */
    uint64_t threads_started;      /* threads that have allocated since the start */
    uint64_t threads_peak;         /* the most of them at a time */
    aloof_tier_stats_t tier[ALOOF_TIERS];
} aloof_stats_t;

/* Fills `*out`, as far as `size` = sizeof(aloof_stats_t) allows, and returns the size that the library's own version of
 * the struct has: a program built with an older header gets the fields it knows. The figures are gathered without
 * stopping other threads, so that they may be slightly apart in time. Takes time proportional to the number of threads
 * and regions in use; allocates nothing. */
size_t aloof_stats(aloof_stats_t *out, size_t size);

/* Writes a summary in words to stderr; allocates nothing. */
void aloof_print_stats(void);

/* The library's version, such as "0.1.0"; a constant string. */
const char *aloof_version(void);

#ifdef __cplusplus
}
#endif

#endif
