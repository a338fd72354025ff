/* The named entry point is the first one that the program calls.
 * first ENTRY main|constructor|preinit|thread */
#include "check.h"

static void use(void *block, size_t size, size_t align)
{
    CHECK(block != NULL, "first call: null\n");
    CHECK((uintptr_t)block % align == 0, "first call: %p is not aligned to %zu\n", block, align);
    CHECK(malloc_usable_size(block) >= size, "first call: usable size below the request\n");
    fill(block, size, 7);
    void *other = malloc(size);
    CHECK(other != NULL && other != block, "first call: the second block is null or the first\n");
    fill(other, size, 8);
    CHECK_CONTENT(block, size, 7);
    free(block);
    free(other);
}

static void call(const char *entry)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *block = NULL;
    if (strcmp(entry, "malloc") == 0) {
        use(malloc(100), 100, 16);
    } else if (strcmp(entry, "malloc-zero") == 0) {
        use(malloc(0), 0, 8);
    } else if (strcmp(entry, "malloc-medium") == 0) {
        use(malloc(100000), 100000, 16);
    } else if (strcmp(entry, "malloc-chunk") == 0) {
        use(malloc(MIB), MIB, 16);
    } else if (strcmp(entry, "malloc-large") == 0) {
        use(malloc(5 * MIB), 5 * MIB, 16);
    } else if (strcmp(entry, "malloc-direct") == 0) {
        use(malloc(8 * MIB), 8 * MIB, 16);
    } else if (strcmp(entry, "calloc") == 0) {
        block = calloc(10, 10);
        CHECK(block != NULL && first_nonzero(block, 100) == 100, "first call: calloc is not zero\n");
        use(block, 100, 16);
    } else if (strcmp(entry, "realloc") == 0) {
        use(realloc(NULL, 100), 100, 16);
    } else if (strcmp(entry, "reallocarray") == 0) {
        use(reallocarray(NULL, 10, 10), 100, 16);
    } else if (strcmp(entry, "aligned_alloc") == 0) {
        use(aligned_alloc(64, 128), 128, 64);
    } else if (strcmp(entry, "memalign") == 0) {
        use(memalign(256, 100), 100, 256);
    } else if (strcmp(entry, "posix_memalign") == 0) {
        CHECK(posix_memalign(&block, 128, 100) == 0, "first call: posix_memalign failed\n");
        use(block, 100, 128);
    } else if (strcmp(entry, "valloc") == 0) {
        use(valloc(100), 100, page);
    } else if (strcmp(entry, "pvalloc") == 0) {
        use(pvalloc(100), page, page);
    } else if (strcmp(entry, "free") == 0) {
        free(NULL);
    } else if (strcmp(entry, "cfree") == 0) {
        CHECK(cfree != NULL, "first call: cfree is missing\n");
        cfree(NULL);
    } else if (strcmp(entry, "free_sized") == 0) {
        CHECK(free_sized != NULL, "first call: free_sized is missing\n");
        free_sized(NULL, 0);
    } else if (strcmp(entry, "free_aligned_sized") == 0) {
        CHECK(free_aligned_sized != NULL, "first call: free_aligned_sized is missing\n");
        free_aligned_sized(NULL, 16, 0);
    } else if (strcmp(entry, "malloc_usable_size") == 0) {
        CHECK(malloc_usable_size(NULL) == 0, "first call: null has a usable size\n");
    } else if (strcmp(entry, "malloc_trim") == 0) {
        CHECK((malloc_trim(0) & ~1) == 0, "first call: malloc_trim answers neither 0 nor 1\n");
    } else if (strcmp(entry, "mallopt") == 0) {
        CHECK(mallopt(M_ARENA_MAX, 1) == 1, "first call: mallopt refuses a harmless parameter\n");
    } else if (strcmp(entry, "mallinfo") == 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        CHECK(mallinfo().arena >= 0, "first call: mallinfo has a negative arena\n");
#pragma GCC diagnostic pop
    } else if (strcmp(entry, "mallinfo2") == 0) {
        CHECK(mallinfo2().arena < (size_t)1 << 40, "first call: mallinfo2 has an arena beyond reason\n");
    } else if (strcmp(entry, "malloc_info") == 0) {
        CHECK(malloc_info(0, stdout) == 0, "first call: malloc_info failed\n");
    } else {
        fail("no such entry: %s\n", entry);
    }
    use(malloc(40), 40, 16);
    use(calloc(1, 70000), 70000, 16);
}

static const char *wanted_entry = "";
static const char *wanted_moment = "";

static void at(const char *moment, int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[2], moment) == 0) {
        call(argv[1]);
        wanted_moment = moment;
    }
}

static void preinit(int argc, char **argv, char **environment)
{
    (void)environment;
    at("preinit", argc, argv);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(int, char **, char **) = preinit;

__attribute__((constructor)) static void construct(int argc, char **argv)
{
    at("constructor", argc, argv);
}

static void *in_thread(void *unused)
{
    (void)unused;
    call(wanted_entry);
    wanted_moment = "thread";
    return NULL;
}

int main(int argc, char **argv)
{
    at("main", argc, argv);
    if (argc == 3 && strcmp(argv[2], "thread") == 0) {
        pthread_t thread;
        wanted_entry = argv[1];
        start(&thread, in_thread, NULL);
        join(thread);
    }
    CHECK(argc == 3 && strcmp(argv[2], wanted_moment) == 0, "the call was never made\n");
    return 0;
}
