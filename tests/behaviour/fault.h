/* The machinery of fault.c: which fault is asked for, who is calling, where the real functions are, and what the faults
 * remember. */
#ifndef FAULT_H
#define FAULT_H

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

/* The real functions. dlsym may itself ask for memory while they are looked up: that comes from a small store. The flag is
 * volatile because the headers promise that dlsym never calls back. */
static char store[4096];
static size_t stored;
static __thread volatile int looking __attribute__((tls_model("initial-exec")));

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
        last.block[last.size / 2] ^= 0x20;
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

#endif
