/* A broken allocator, to show that the tests notice. Preloaded before the real one, it passes every call on but breaks the one
 * promise that the environment variable FAULT names. Except where a fault says otherwise, only calls from the program itself
 * are broken: the loader and the C library get what they were promised. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern char *program_invocation_short_name;

static const char *fault;
static uintptr_t program_start, program_end;
static atomic_int in_main, ending, in_child;
static __thread int thread_ending __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static atomic_int key_made;

/* The C library's own view of the environment is not there yet when the first calls come. */
static int broken(const char *name)
{
    static char environment[65536];
    if (fault == NULL) {
        fault = "none";
        int file = open("/proc/self/environ", O_RDONLY);
        ssize_t length = read(file, environment, sizeof environment - 1);
        close(file);
        for (char *at = environment; at < environment + length; at += strlen(at) + 1) {
            if (strncmp(at, "FAULT=", 6) == 0) {
                fault = at + 6;
            }
        }
    }
    return strcmp(fault, name) == 0;
}

static int scribbling(void)
{
    return broken("scribble") || broken("scribble-1000") || broken("scribble-odd");
}

static int first_object(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    uintptr_t start = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, to = from + info->dlpi_phdr[i].p_memsz;
            start = from < start ? from : start;
            end = to > end ? to : end;
        }
    }
    program_start = start;
    program_end = end;
    return 1;
}

static int from_program(void *caller)
{
    if (program_end == 0) {
        dl_iterate_phdr(first_object, NULL);
    }
    return (uintptr_t)caller >= program_start && (uintptr_t)caller < program_end;
}

#define BROKEN(name) (broken(name) && from_program(__builtin_return_address(0)))

/* The real functions. dlsym may itself ask for memory while they are looked up: that comes from a small store. */
static char store[4096];
static size_t stored;
static __thread int looking __attribute__((tls_model("initial-exec")));

static void *from_store(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (stored + size > sizeof store) {
        abort();
    }
    stored += size;
    return store + stored - size;
}

static int stores(const void *block)
{
    return (uintptr_t)block >= (uintptr_t)store && (uintptr_t)block < (uintptr_t)store + sizeof store;
}

static void *look_up(const char *name)
{
    looking = 1;
    void *found = dlsym(RTLD_NEXT, name);
    looking = 0;
    if (found == NULL) {
        abort();
    }
    return found;
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next_##name)(__VA_ARGS__);                                                                         \
    if (next_##name == NULL) {                                                                                         \
        next_##name = (result(*)(__VA_ARGS__))look_up(#name);                                                          \
    }

/* What the faults remember. Entries say that `address` is handed out though it is no block: freeing it does nothing. */
static atomic_flag lock = ATOMIC_FLAG_INIT;
#define FALSE_BLOCKS 4096
static struct {
    char *address, *block;
    size_t size;
} false_blocks[FALSE_BLOCKS];
static struct {
    char *block;
    size_t size;
} last, large, by_size[512];
static unsigned long scribbles, falsehoods, shifts, leaks;

static void enter(void)
{
    while (atomic_flag_test_and_set(&lock)) {
    }
}

static void leave(void)
{
    atomic_flag_clear(&lock);
}

static void *hand_out(char *address, char *block, size_t size)
{
    for (size_t i = 0; i < FALSE_BLOCKS; i++) {
        if (false_blocks[i].address == NULL) {
            false_blocks[i].address = address;
            false_blocks[i].block = block;
            false_blocks[i].size = size;
            return address;
        }
    }
    return NULL;
}

/* The entry for an address, or -1. */
static long handed_out(const void *address)
{
    for (size_t i = 0; address != NULL && i < FALSE_BLOCKS; i++) {
        if (false_blocks[i].address == address) {
            return (long)i;
        }
    }
    return -1;
}

static void scribble(void)
{
    if (last.block != NULL && (++scribbles % 23 == 0 || broken("scribble-1000"))) {
        last.block[last.size - 1] ^= 0x40;
        last.block = NULL;
    }
}

/* Scribbling over blocks that hold pointers would end in a crash and show nothing: the variants pick blocks of plain data. */
static int to_scribble_on(void *caller, size_t size)
{
    if (broken("scribble-1000")) {
        return size == 1000;
    }
    if (broken("scribble-odd")) {
        return size >= 100 && size <= 800 && size % 8 != 0;
    }
    return size > 0 && from_program(caller);
}

static void remember(void *caller, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    enter();
    if (to_scribble_on(caller, size)) {
        last.block = (char *)block;
        last.size = size;
    }
    if (size >= 4096) {
        large.block = (char *)block;
        large.size = size;
    }
    by_size[size % 512].block = (char *)block;
    by_size[size % 512].size = size;
    leave();
}

static void forget(const void *block)
{
    enter();
    last.block = last.block == block ? NULL : last.block;
    large.block = large.block == block ? NULL : large.block;
    for (size_t i = 0; block != NULL && i < sizeof by_size / sizeof *by_size; i++) {
        by_size[i].block = by_size[i].block == block ? NULL : by_size[i].block;
    }
    leave();
}

static void mark_end(void *unused)
{
    (void)unused;
    thread_ending = 1;
}

/* A block that breaks a promise about addresses, or null. */
static void *false_block(size_t size, size_t align)
{
    void *found = NULL;
    enter();
    falsehoods++;
    if (broken("repeat") && by_size[size % 512].block != NULL && by_size[size % 512].size == size && align <= 16) {
        found = hand_out(by_size[size % 512].block, NULL, size);
        by_size[size % 512].block = NULL;
    } else if (broken("overlap") && size >= 16 && size <= 64 && large.block != NULL && align <= 16 && falsehoods % 5 == 0) {
        found = hand_out((char *)(((uintptr_t)large.block + 2048) & ~(uintptr_t)15), NULL, size);
        large.block = NULL;
    }
    leave();
    return found;
}

static atomic_int refused;

/* 1 if the call has a false result, 0 if it goes on. */
static int allocation_fails(void *caller, size_t size, size_t align, void **result)
{
    static atomic_int asked;
    if (broken("dead-thread")) {
        if (atomic_exchange(&key_made, 1) == 0) {
            pthread_key_create(&key, mark_end);
        }
        if (from_program(caller) && !thread_ending) {
            pthread_setspecific(key, &key);
        }
    }
    if (scribbling()) {
        enter();
        scribble();
        leave();
    }
    if (!from_program(caller)) {
        return 0;
    }
    *result = NULL;
    if (broken("unready") && atomic_exchange(&asked, 1) == 0) {
        abort();
    }
    if (broken("no-memory") || (broken("early") && !in_main) || (broken("late") && ending) || thread_ending ||
        (broken("zero-null") && size == 0)) {
        return 1;
    }
    while ((broken("child-hangs") && in_child) || (broken("late-hang") && ending)) {
        usleep(1000);
    }
    if (broken("never-again") && refused) {
        errno = ENOMEM;
        return 1;
    }
    if (broken("leak-address") && ++leaks % 8 == 0) {
        mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    *result = false_block(size, align);
    return *result != NULL;
}

static void *refusal(void *caller, void *block)
{
    if (block == NULL && from_program(caller)) {
        refused = 1;
        if (broken("dies-when-refused")) {
            abort();
        }
        if (broken("quiet-refusal")) {
            errno = 0;
        }
    }
    return block;
}

static void *shift(void *caller, size_t size, void *block, size_t by)
{
    if (broken("misalign") && from_program(caller) && block != NULL && ++shifts % 8 == 0) {
        enter();
        void *shifted = hand_out((char *)block + by, (char *)block, size);
        leave();
        return shifted != NULL ? shifted : block;
    }
    return block;
}

static size_t generous(size_t size)
{
    if (broken("grants-all") && size > (size_t)1 << 46) {
        return 100;
    }
    return broken("misalign") && size < (size_t)1 << 40 ? size + 64 : size;
}

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

#define DELETE(name, parameters, arguments, ...)                                                                       \
    void name parameters                                                                                               \
    {                                                                                                                  \
        NEXT(void, name, __VA_ARGS__)                                                                                  \
        forget(block);                                                                                                 \
        next_##name arguments;                                                                                         \
    }
DELETE(_ZdlPv, (void *block), (block), void *)
DELETE(_ZdaPv, (void *block), (block), void *)
DELETE(_ZdlPvm, (void *block, size_t size), (block, size), void *, size_t)
DELETE(_ZdaPvm, (void *block, size_t size), (block, size), void *, size_t)

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

__attribute__((constructor)) static void construct(void)
{
    if (broken("child-hangs")) {
        pthread_atfork(NULL, NULL, in_the_child);
    }
    if (broken("others-die") && (strcmp(program_invocation_short_name, "true") == 0 || strcmp(program_invocation_short_name, "sh") == 0)) {
        abort();
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
