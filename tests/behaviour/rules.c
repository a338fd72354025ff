/* The small print of the C family.
 * rules errno|zero|limits|alignment|usable|extras */
#include "check.h"

static const size_t route_sizes[] = {1,         100,       5000,         32 * KIB,      40000,         64 * KIB,
                                     MIB,       3 * MIB + 1, 4 * MIB,    8 * MIB,       9 * MIB + 1,   200 * MIB + 1,
                                     256 * MIB, 300 * MIB, 512 * MIB, 9 * GIB};
#define ROUTE_SIZES (sizeof route_sizes / sizeof *route_sizes)

static void *free_many(void *blocks)
{
    for (int i = 0; i < 5000; i++) {
        errno = 4321;
        free(((void **)blocks)[i]);
        CHECK(errno == 4321, "errno: free of another thread's block changed it to %d\n", errno);
    }
    return NULL;
}

/* free leaves errno alone on every path; success does so too. */
static void errno_kept(void)
{
    for (size_t i = 0; i < ROUTE_SIZES; i++) {
        for (int round = 0; round < 3; round++) {
            errno = 1234;
            void *block = malloc(route_sizes[i]);
            CHECK(block != NULL || route_sizes[i] > GIB, "%zu bytes refused\n", route_sizes[i]);
            CHECK(errno == 1234 || block == NULL, "errno: malloc of %zu bytes changed it to %d\n", route_sizes[i], errno);
            errno = 1234;
            free(block);
            CHECK(errno == 1234, "errno: free of %zu bytes changed it to %d\n", route_sizes[i], errno);
        }
    }
    static void *blocks[5000];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5000; i++) {
            blocks[i] = malloc((size_t)i * (round == 3 ? 40 : 8));
        }
        if (round % 2 == 0) {
            free_many(blocks);
        } else {
            pthread_t thread;
            start(&thread, free_many, blocks);
            join(thread);
        }
    }
    errno = 99;
    free(NULL);
    CHECK(errno == 99, "errno: free(NULL) changed it\n");
}

static void zero(void)
{
    void *blocks[2000];
    for (int i = 0; i < 2000; i++) {
        blocks[i] = i % 4 == 0 ? malloc(0) : i % 4 == 1 ? calloc(0, 0) : i % 4 == 2 ? realloc(NULL, 0) : aligned_alloc(64, 0);
        CHECK(blocks[i] != NULL, "zero: a request of 0 bytes gives null\n");
        for (int j = 0; j < i; j++) {
            CHECK(blocks[i] != blocks[j], "zero: two requests of 0 bytes give %p\n", blocks[i]);
        }
    }
    for (int i = 0; i < 2000; i++) {
        free(blocks[i]);
    }
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0, "zero: null has a usable size\n");
}

#define REFUSED(call)                                                                                                  \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        void *result_ = (call);                                                                                        \
        CHECK(result_ == NULL, "limits: " #call " is not refused\n");                                                  \
        CHECK(errno == ENOMEM, "limits: " #call " sets errno to %d\n", errno);                                         \
    } while (0)

/* What cannot be is refused with ENOMEM, and the allocator goes on. */
static void limits(void)
{
    static const size_t beyond[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4095,
                                    SIZE_MAX / 2 + 1,        SIZE_MAX - 65536, (size_t)PTRDIFF_MAX, (size_t)1 << 62,
                                    (size_t)1 << 48};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        size_t size = beyond[i];
        REFUSED(malloc(size));
        REFUSED(calloc(1, size));
        REFUSED(calloc(size, 1));
        REFUSED(realloc(NULL, size));
        REFUSED(reallocarray(NULL, 1, size));
        REFUSED(aligned_alloc(64, size));
        REFUSED(memalign(4096, size));
        REFUSED(valloc(size));
        REFUSED(pvalloc(size));
        void *untouched = &untouched;
        CHECK(posix_memalign(&untouched, 64, size) == ENOMEM, "limits: posix_memalign of %zx does not return ENOMEM\n", size);
        CHECK(untouched == &untouched, "limits: posix_memalign touches the pointer when it fails\n");
        void *block = malloc(100);
        CHECK(block != NULL, "limits: nothing works after a refusal\n");
        free(block);
    }
    REFUSED(calloc(SIZE_MAX, SIZE_MAX));
    REFUSED(calloc(SIZE_MAX / 16 + 1, 16));
    REFUSED(calloc((size_t)1 << 33, (size_t)1 << 33));
    REFUSED(reallocarray(NULL, SIZE_MAX / 16 + 1, 16));
    REFUSED(aligned_alloc((size_t)1 << 62, 1));
    REFUSED(aligned_alloc((size_t)1 << 62, SIZE_MAX - 5));
}

static void alignment(void)
{
    static const size_t wrong[] = {0, 3, 7, 24, 48, 1000, SIZE_MAX, ((size_t)1 << 63) + 8};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *untouched = &untouched;
        int error = posix_memalign(&untouched, wrong[i], 100);
        CHECK(error == EINVAL, "alignment: posix_memalign to %zu returns %d\n", wrong[i], error);
        CHECK(untouched == &untouched, "alignment: posix_memalign touches the pointer when it fails\n");
        errno = 0;
        void *block = aligned_alloc(wrong[i], 100);
        CHECK(block == NULL && errno == EINVAL, "alignment: aligned_alloc to %zu is not EINVAL\n", wrong[i]);
    }
    for (size_t align = 1; align < sizeof(void *); align *= 2) {
        void *block = NULL;
        CHECK(posix_memalign(&block, align, 100) == EINVAL, "alignment: posix_memalign to %zu is not EINVAL\n", align);
    }
    /* memalign rounds up. */
    static const size_t odd[][2] = {{0, 1}, {3, 4}, {24, 32}, {48, 64}, {1000, 1024}, {5000, 8192}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        void *block = memalign(odd[i][0], 100);
        CHECK(block != NULL && (uintptr_t)block % odd[i][1] == 0, "alignment: memalign to %zu gives %p\n", odd[i][0], block);
        free(block);
    }
    errno = 0;
    CHECK(memalign(((size_t)1 << 63) + 1, 100) == NULL && errno == EINVAL, "alignment: memalign beyond 2^63 is not EINVAL\n");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 3 * page; size += 777) {
        void *one = valloc(size), *other = pvalloc(size);
        CHECK(one != NULL && (uintptr_t)one % page == 0, "alignment: valloc gives %p\n", one);
        CHECK(other != NULL && (uintptr_t)other % page == 0, "alignment: pvalloc gives %p\n", other);
        CHECK(malloc_usable_size(other) >= (size + page - 1) / page * page, "alignment: pvalloc gives less than whole pages\n");
        free(one);
        free(other);
    }
    /* Every plain block of 16 bytes or more can hold any C object. */
    void *blocks[600];
    for (size_t size = 0; size < 600; size++) {
        blocks[size] = size % 3 == 0 ? malloc(size) : size % 3 == 1 ? calloc(1, size) : realloc(NULL, size);
        CHECK((uintptr_t)blocks[size] % (size >= 16 ? 16 : 8) == 0, "alignment: %zu bytes at %p\n", size, blocks[size]);
    }
    for (size_t size = 0; size < 600; size++) {
        free(blocks[size]);
    }
}

/* The usable size is all there and all ours. */
static void usable(void)
{
    uint64_t random = 21;
    static unsigned char *blocks[400];
    static size_t sizes[400];
    for (int round = 0; round < 12; round++) {
        size_t used = 0;
        int count = 0;
        for (; count < 400 && used < 96 * MIB; count++) {
            size_t size = draw_size(&random, (enum route)draw_below(&random, round == 0 ? LARGE_RUN + 1 : RUN + 1));
            blocks[count] = (unsigned char *)(count % 3 == 0 ? aligned_alloc((size_t)16 << count % 9, size) : malloc(size));
            sizes[count] = malloc_usable_size(blocks[count]);
            CHECK(sizes[count] >= size, "usable: %zu bytes of %zu requested\n", sizes[count], size);
            CHECK(sizes[count] < size + size / 2 + 4096 || size > 256 * MIB || count % 3 == 0 || size >= 32 * KIB,
                  "usable: %zu bytes of %zu requested\n", sizes[count], size);
            fill(blocks[count], sizes[count], (uint64_t)count);
            used += sizes[count];
        }
        for (int i = 0; i < count; i++) {
            CHECK(malloc_usable_size(blocks[i]) == sizes[i], "usable: the size has changed\n");
            CHECK_CONTENT(blocks[i], sizes[i], (uint64_t)i);
        }
        for (int i = 0; i < count; i++) {
            free(blocks[i]);
        }
    }
}

/* The extras answer sensibly while memory is in use. */
static void extras(void)
{
    static void *blocks[2000];
    for (int i = 0; i < 2000; i++) {
        blocks[i] = malloc(5000);
        memset(blocks[i], 1, 5000);
    }
    struct mallinfo2 info = mallinfo2();
    CHECK(info.uordblks + info.hblkhd >= 2000 * 5000, "extras: mallinfo2 counts %zu live bytes\n", info.uordblks + info.hblkhd);
    CHECK(info.arena + info.hblkhd >= info.uordblks, "extras: mallinfo2 counts fewer bytes held than live\n");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    CHECK(mallinfo().uordblks + mallinfo().hblkhd >= 2000 * 5000, "extras: mallinfo counts too few live bytes\n");
#pragma GCC diagnostic pop
    for (int i = 0; i < 2000; i++) {
        free(blocks[i]);
    }
    static const int harmless[] = {M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX, M_ARENA_TEST};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        CHECK(mallopt(harmless[i], 1) == 1, "extras: mallopt(%d) is refused\n", harmless[i]);
    }
    int trimmed = malloc_trim(0);
    CHECK(trimmed == 0 || trimmed == 1, "extras: malloc_trim returns %d\n", trimmed);
    CHECK(malloc_info(1, stdout) != 0, "extras: malloc_info accepts an option\n");
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0, "extras: malloc_info fails\n");
    CHECK(strncmp(text, "<malloc version=", 16) == 0 && strstr(text, "</malloc>\n") != NULL, "extras: malloc_info is no XML\n");
    free(text);
    void *block = malloc(100);
    CHECK(free_sized != NULL && free_aligned_sized != NULL && cfree != NULL, "extras: a way to free is missing\n");
    free_sized(block, 100);
    free_sized(NULL, 0);
    block = aligned_alloc(64, 128);
    free_aligned_sized(block, 64, 128);
    free_aligned_sized(NULL, 64, 128);
    cfree(malloc(10));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*body)(void);
    } modes[] = {{"errno", errno_kept}, {"zero", zero}, {"limits", limits},
                 {"alignment", alignment}, {"usable", usable}, {"extras", extras}};
    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].body();
            return 0;
        }
    }
    fail("usage: rules errno|zero|limits|alignment|usable|extras\n");
}
