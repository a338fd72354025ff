/* Every size from 0 bytes to 16 GiB and every alignment to 1 GiB, by sampling: aligned, usable, writable at both ends and
 * in the middle, apart from each other.
 * sweep sizes|alignments|huge */
#include "check.h"

/* Null is right only when the system itself would refuse the size. */
static int system_refuses(size_t size)
{
    void *probe = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) {
        return 1;
    }
    munmap(probe, size);
    return 0;
}

/* Full contents are the pattern test's business; here both ends and every 1/16 between. */
static void mark(unsigned char *block, size_t size, unsigned char value)
{
    for (size_t i = 0; size > 0 && i <= 16; i++) {
        size_t at = i == 16 ? size - 1 : size / 16 * i;
        block[at] = (unsigned char)(value + i);
    }
}

static void check_mark(const unsigned char *block, size_t size, unsigned char value)
{
    if (size < 17) {
        return;
    }
    for (size_t i = 0; i <= 16; i++) {
        size_t at = i == 16 ? size - 1 : size / 16 * i;
        CHECK(block[at] == (unsigned char)(value + i), "sweep: byte %zu of a block of %zu has changed\n", at, size);
    }
}

enum way { MALLOC, CALLOC, ALIGNED_ALLOC, POSIX_MEMALIGN, MEMALIGN, REALLOC, WAYS };

static void *allocate(enum way way, size_t size, size_t align)
{
    void *block = NULL;
    switch (way) {
    case MALLOC:
        return malloc(size);
    case CALLOC:
        return calloc(1, size);
    case REALLOC:
        return realloc(NULL, size);
    case ALIGNED_ALLOC:
        return aligned_alloc(align, size);
    case MEMALIGN:
        return memalign(align, size);
    default:
        return posix_memalign(&block, align, size) == 0 ? block : NULL;
    }
}

static void one(enum way way, size_t size, size_t align)
{
    unsigned char *blocks[3];
    size_t usable[3];
    int count = size > 4 * GIB || align > 256 * MIB ? 1 : size > 256 * MIB ? 2 : 3;
    for (int i = 0; i < count; i++) {
        errno = 0;
        blocks[i] = allocate(way, size, align);
        if (blocks[i] == NULL) {
            CHECK(size > 2 * GIB && errno == ENOMEM && system_refuses(size),
                  "sweep: %zu bytes aligned to %zu: null though the system has them\n", size, align);
            count = i;
            break;
        }
        CHECK((uintptr_t)blocks[i] % align == 0, "sweep: %p for %zu bytes is not aligned to %zu\n", (void *)blocks[i],
              size, align);
        usable[i] = malloc_usable_size(blocks[i]);
        CHECK(usable[i] >= size, "sweep: %zu usable bytes of %zu\n", usable[i], size);
        mark(blocks[i], size, (unsigned char)(i * 50 + 1));
        for (int j = 0; j < i; j++) {
            CHECK(blocks[i] >= blocks[j] + usable[j] || blocks[j] >= blocks[i] + usable[i],
                  "sweep: overlap of two blocks of %zu bytes\n", size);
        }
    }
    for (int i = 0; i < count; i++) {
        check_mark(blocks[i], size, (unsigned char)(i * 50 + 1));
        free(blocks[i]);
    }
}

static size_t plain_alignment(size_t size)
{
    return size >= 16 ? 16 : 8;
}

static void sizes(void)
{
    enum way plain[] = {MALLOC, CALLOC, REALLOC};
    for (size_t size = 0; size <= 4200; size++) {
        one(plain[size % 3], size, plain_alignment(size));
    }
    for (size_t size = 4200; size <= 300 * KIB; size += 37) {
        one(plain[size % 3], size, plain_alignment(size));
    }
    for (int shift = 12; shift <= 28; shift++) {
        for (size_t eighth = 8; eighth < 16; eighth++) {
            size_t size = ((size_t)1 << shift) / 8 * eighth;
            for (size_t near = size - 1; near <= size + 1; near++) {
                for (int i = 0; i < 3; i++) {
                    if (plain[i] != CALLOC || size <= 32 * MIB) {
                        one(plain[i], near, 16);
                    }
                }
            }
        }
    }
}

static void huge(void)
{
    for (size_t size = 256 * MIB; size <= 16 * GIB; size *= 2) {
        one(MALLOC, size - 1, 16);
        one(MALLOC, size, 16);
        one(MALLOC, size + 1, 16);
        one(REALLOC, size + size / 2, 16);
    }
    one(ALIGNED_ALLOC, 9 * GIB, GIB);
}

static void alignments(void)
{
    static const size_t bases[] = {0,       1,       24,      100,     4096,    5000,        32 * KIB,   32 * KIB + 1,
                                   65536,   100000,  MIB,     MIB + 1, 3 * MIB, 4 * MIB,     5 * MIB,    16 * MIB,
                                   33 * MIB, 64 * MIB, 256 * MIB, 256 * MIB + 1, 300 * MIB};
    for (size_t align = 8; align <= GIB; align *= 2) {
        for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
            one(ALIGNED_ALLOC, bases[i], align);
            one(POSIX_MEMALIGN, bases[i], align);
            one(MEMALIGN, bases[i], align);
        }
        one(ALIGNED_ALLOC, align, align);
        one(ALIGNED_ALLOC, align + 1, align);
        one(ALIGNED_ALLOC, align - 1, align);
    }
    for (size_t align = 1; align <= 4; align *= 2) {
        one(ALIGNED_ALLOC, 100, align);
        one(MEMALIGN, 100, align);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: sweep sizes|alignments|huge\n");
    if (strcmp(argv[1], "sizes") == 0) {
        sizes();
    } else if (strcmp(argv[1], "huge") == 0) {
        huge();
    } else {
        alignments();
    }
    return 0;
}
