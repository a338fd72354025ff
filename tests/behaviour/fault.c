/* A broken allocator, to show that the tests notice. Preloaded before the real one, it passes every call on but breaks the one
 * promise that the environment variable FAULT names. Except where a fault says otherwise, only calls from the program itself
 * are broken: the loader and the C library get what they were promised. */
#include "fault.h"

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    if (looking) {
        return from_store(size);
    }
    NEXT(void *, malloc, size_t)
    void *block;
    if (allocation_fails(CALLER, size, 16, &block)) {
        return block;
    }
    block = refusal(CALLER, shift(CALLER, size, next_malloc(generous(size)), 4));
    remember(CALLER, block, size);
    return block;
}

void *calloc(size_t count, size_t size)
{
    if (looking) {
        return from_store(count * size);
    }
    NEXT(void *, calloc, size_t, size_t)
    void *block;
    if (allocation_fails(CALLER, count * size, 16, &block)) {
        return block;
    }
    size_t total;
    int overflows = __builtin_mul_overflow(count, size, &total);
    block = overflows && BROKEN("grants-all") ? next_calloc(1, 100) : next_calloc(count, generous(size));
    if (!overflows && BROKEN("dirty-calloc") && block != NULL && total > 0 && total < (size_t)1 << 28) {
        ((char *)block)[total - 1] = 1;
    }
    block = refusal(CALLER, block);
    remember(CALLER, block, total);
    return block;
}

static int swallows(void *caller, void *block)
{
    if (stores(block)) {
        return 1;
    }
    if ((broken("leak") || broken("trusting") || (broken("leak-in-threads") && gettid() != getpid())) && from_program(caller)) {
        return 1;
    }
    return 0;
}

void free(void *block)
{
    if (looking) {
        return;
    }
    NEXT(void, free, void *)
    static atomic_int asked;
    if (BROKEN("unready") && atomic_exchange(&asked, 1) == 0) {
        abort();
    }
    if (swallows(CALLER, block)) {
        return;
    }
    forget(block);
    enter();
    long at = handed_out(block);
    if (at >= 0) {
        block = false_blocks[at].block;
        false_blocks[at].address = NULL;
    }
    leave();
    next_free(block);
    if (BROKEN("errno-free")) {
        errno = EIO;
    }
}

void *realloc(void *block, size_t size)
{
    NEXT(void *, realloc, void *, size_t)
    NEXT(void *, malloc, size_t)
    NEXT(size_t, malloc_usable_size, void *)
    void *result = NULL;
    if (stores(block)) {
        result = malloc(size);
        memcpy(result, block, size < 64 ? size : 64);
        return result;
    }
    if (BROKEN("trusting")) {
        return next_malloc(size);
    }
    if (block == NULL && allocation_fails(CALLER, size, 16, &result)) {
        return result;
    }
    if (block != NULL && size == 0 && BROKEN("realloc-zero")) {
        return block;
    }
    forget(block);
    enter();
    long at = handed_out(block);
    if (at >= 0) {
        false_blocks[at].address = NULL;
    }
    leave();
    if (at >= 0 || (block != NULL && size != 0 && size < (size_t)1 << 40 && (BROKEN("forgetful") || BROKEN("restless")))) {
        size_t old = at >= 0 ? false_blocks[at].size : next_malloc_usable_size(block);
        result = next_malloc(size);
        size_t kept = old < size ? old : size;
        if (result != NULL) {
            memcpy(result, block, kept);
            if (BROKEN("forgetful") && kept > 0) {
                ((char *)result)[0] ^= 0x33;
                ((char *)result)[kept - 1] ^= 0x44;
            }
            if (at < 0) {
                free(block);
            }
        }
        remember(CALLER, result, size);
        return result;
    }
    result = next_realloc(block, generous(size));
    if (result == NULL && block != NULL && size != 0 && BROKEN("spoiling")) {
        *(char *)block ^= 1;
    }
    result = refusal(CALLER, result);
    remember(CALLER, result, size);
    return result;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    NEXT(void *, reallocarray, void *, size_t, size_t)
    void *result;
    if (block == NULL && allocation_fails(CALLER, count * size, 16, &result)) {
        return result;
    }
    forget(block);
    return refusal(CALLER, next_reallocarray(block, count, generous(size)));
}

static int wrong(size_t align)
{
    return align == 0 || (align & (align - 1)) != 0;
}

void *aligned_alloc(size_t align, size_t size)
{
    NEXT(void *, aligned_alloc, size_t, size_t)
    NEXT(void *, malloc, size_t)
    void *block;
    if (allocation_fails(CALLER, size, align, &block)) {
        return block;
    }
    if (wrong(align) && BROKEN("any-alignment")) {
        return next_malloc(size);
    }
    block = shift(CALLER, size, next_aligned_alloc(align, generous(size)), align / 2);
    return refusal(CALLER, block);
}

void *memalign(size_t align, size_t size)
{
    NEXT(void *, memalign, size_t, size_t)
    void *block;
    if (allocation_fails(CALLER, size, align, &block)) {
        return block;
    }
    return refusal(CALLER, shift(CALLER, size, next_memalign(align, generous(size)), align / 2));
}

int posix_memalign(void **out, size_t align, size_t size)
{
    NEXT(int, posix_memalign, void **, size_t, size_t)
    void *block;
    if (allocation_fails(CALLER, size, align, &block)) {
        if (block != NULL) {
            *out = block;
        }
        return block == NULL ? ENOMEM : 0;
    }
    int error = next_posix_memalign(out, align, generous(size));
    if (error != 0 && BROKEN("posix-touch")) {
        *out = NULL;
    }
    if (error == 0) {
        *out = shift(CALLER, size, *out, align / 2);
    }
    return error;
}

void *valloc(size_t size)
{
    NEXT(void *, valloc, size_t)
    void *block;
    return allocation_fails(CALLER, size, 4096, &block) ? block : next_valloc(size);
}

void *pvalloc(size_t size)
{
    NEXT(void *, pvalloc, size_t)
    void *block;
    return allocation_fails(CALLER, size, 4096, &block) ? block : next_pvalloc(size);
}

size_t malloc_usable_size(void *block)
{
    NEXT(size_t, malloc_usable_size, void *)
    void *unused;
    if (block == NULL && BROKEN("unready")) {
        allocation_fails(CALLER, 0, 16, &unused);
    }
    enter();
    long at = handed_out(block);
    size_t size = at >= 0 ? false_blocks[at].size : 0;
    leave();
    if (at >= 0) {
        return size;
    }
    if (BROKEN("trusting")) {
        return 16;
    }
    size = next_malloc_usable_size(block);
    return BROKEN("usable-small") && size > 0 ? size / 4 : BROKEN("usable-large") && size < 32768 ? size + 64 : size;
}

/* The remaining entry points only know how not to be ready. */
#define PLAIN(result, name, parameters, arguments, ...)                                                                \
    result name parameters                                                                                             \
    {                                                                                                                  \
        NEXT(result, name, __VA_ARGS__)                                                                                \
        void *unused;                                                                                                  \
        if (BROKEN("unready")) {                                                                                       \
            allocation_fails(CALLER, 0, 16, &unused);                                                                      \
        }                                                                                                              \
        return next_##name arguments;                                                                                  \
    }
PLAIN(int, malloc_trim, (size_t pad), (pad), size_t)
PLAIN(int, mallopt, (int parameter, int value), (parameter, value), int, int)
PLAIN(struct mallinfo, mallinfo, (void), (), void)
PLAIN(int, malloc_info, (int options, FILE *stream), (options, stream), int, FILE *)
PLAIN(void, cfree, (void *block), (block), void *)
PLAIN(void, free_sized, (void *block, size_t size), (block, size), void *, size_t)
PLAIN(void, free_aligned_sized, (void *block, size_t align, size_t size), (block, align, size), void *, size_t, size_t)

struct mallinfo2 mallinfo2(void)
{
    NEXT(struct mallinfo2, mallinfo2, void)
    void *unused;
    if (BROKEN("unready")) {
        allocation_fails(CALLER, 0, 16, &unused);
    }
    if (BROKEN("blind")) {
        return (struct mallinfo2){0};
    }
    return next_mallinfo2();
}

/* aloof.h's own statistics, for programs that use them. */
size_t aloof_stats(void *out, size_t size)
{
    NEXT(size_t, aloof_stats, void *, size_t)
    size_t whole = next_aloof_stats(out, size);
    if (BROKEN("blind")) {
        memset(out, 0, size);
    }
    return whole;
}

int aloof_purge(void)
{
    NEXT(int, aloof_purge, void)
    return BROKEN("blind-purge") ? 1 : next_aloof_purge();
}

/* operator new: these faults break the requests that must be refused, whoever makes them. */
#define ABSURD ((size_t)1 << 60)

static void throw_bad_alloc(void)
{
    ((void (*)(void))look_up("_ZSt17__throw_bad_allocv"))();
}

#define NEW(name, aligned, parameters, arguments, nothrow, ...)                                                        \
    void *name parameters                                                                                              \
    {                                                                                                                  \
        NEXT(void *, name, __VA_ARGS__)                                                                                \
        if (scribbling()) {                                                                                            \
            enter();                                                                                                   \
            scribble();                                                                                                \
            leave();                                                                                                   \
        }                                                                                                              \
        if (size > ABSURD && broken("new-null")) {                                                                     \
            return NULL;                                                                                               \
        }                                                                                                              \
        if (size > ABSURD && broken("nothrow-null") && nothrow) {                                                      \
            return NULL;                                                                                               \
        }                                                                                                              \
        if (size > ABSURD && (broken("new-deaf") || (nothrow && broken("nothrow-throws")))) {                          \
            throw_bad_alloc();                                                                                         \
        }                                                                                                              \
        void *block = next_##name arguments;                                                                           \
        if (broken("new-misaligned") && aligned) {                                                                     \
            return (char *)block + 4;                                                                                  \
        }                                                                                                              \
        remember(CALLER, block, size);                                                                                         \
        return block;                                                                                                  \
    }
NEW(_Znwm, 0, (size_t size), (size), 0, size_t)
NEW(_Znam, 0, (size_t size), (size), 0, size_t)
NEW(_ZnwmSt11align_val_t, 1, (size_t size, size_t align), (size, align), 0, size_t, size_t)
NEW(_ZnamSt11align_val_t, 1, (size_t size, size_t align), (size, align), 0, size_t, size_t)
NEW(_ZnwmRKSt9nothrow_t, 0, (size_t size, void *tag), (size, tag), 1, size_t, void *)
NEW(_ZnamRKSt9nothrow_t, 0, (size_t size, void *tag), (size, tag), 1, size_t, void *)
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, 1, (size_t size, size_t align, void *tag), (size, align, tag), 1, size_t, size_t, void *)
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, 1, (size_t size, size_t align, void *tag), (size, align, tag), 1, size_t, size_t, void *)

/* "direct": the forms that are not basic give to the allocator what the program's own basic ones gave them. */
#define DELETE(name, basic, parameters, arguments, ...)                                                                \
    void name parameters                                                                                               \
    {                                                                                                                  \
        NEXT(void, name, __VA_ARGS__)                                                                                  \
        forget(block);                                                                                                 \
        if (!basic && broken("direct")) {                                                                              \
            ((void (*)(void *))look_up("free"))(block);                                                                \
            return;                                                                                                    \
        }                                                                                                              \
        next_##name arguments;                                                                                         \
    }
DELETE(_ZdlPv, 1, (void *block), (block), void *)
DELETE(_ZdaPv, 0, (void *block), (block), void *)
DELETE(_ZdlPvm, 0, (void *block, size_t size), (block, size), void *, size_t)
DELETE(_ZdaPvm, 0, (void *block, size_t size), (block, size), void *, size_t)
DELETE(_ZdlPvmSt11align_val_t, 0, (void *block, size_t size, size_t align), (block, size, align), void *, size_t, size_t)

static int (*real_main)(int, char **, char **);

static int watched_main(int argc, char **argv, char **environment)
{
    atomic_store(&in_main, 1);
    int status = real_main(argc, argv, environment);
    atomic_store(&ending, 1);
    return status;
}

int __libc_start_main(int (*start)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    NEXT(int, __libc_start_main, int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
         void (*)(void), void *)
    real_main = start;
    return next___libc_start_main(watched_main, argc, argv, init, fini, rtld_fini, stack_end);
}

__attribute__((noreturn)) void exit(int status)
{
    NEXT(void, exit, int)
    atomic_store(&ending, 1);
    next_exit(status);
    __builtin_unreachable();
}

static void in_the_child(void)
{
    atomic_store(&in_child, 1);
}

static void *stay(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

__attribute__((constructor)) static void construct(void)
{
    pthread_t thread;
    if (broken("stays") && pthread_create(&thread, NULL, stay, NULL) != 0) {
        abort();
    }
    if (broken("child-hangs")) {
        pthread_atfork(NULL, NULL, in_the_child);
    }
    if (broken("others-die") && (strcmp(program_invocation_short_name, "true") == 0 || strcmp(program_invocation_short_name, "sh") == 0)) {
        abort();
    }
    if (broken("no-limit") || broken("wasteful")) {
        int (*set)(const char *, uint64_t) = (int (*)(const char *, uint64_t))dlsym(RTLD_NEXT, "aloof_set");
        if (set == NULL || set("limit", 0) != 0) {
            abort();
        }
    }
    if (broken("wasteful")) {
        memset(mmap(NULL, (size_t)100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, (size_t)100 << 20);
    }
    /* More address space than a limit leaves, and memory that can be written, as strict accounting sees it. */
    if (broken("greedy") &&
        mmap(NULL, (size_t)40 << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED) {
        abort();
    }
    if (broken("noisy")) {
        ssize_t ignored = write(2, "warning: something\n", 19);
        (void)ignored;
    }
}
