/* Blocks that are mappings of their own, in an address space so small that the allocator's tags are told apart by fewer bits of
 * an address than it has. None of them may pass for a small block. Argument: how many of each kind. */
#include "check.h"

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: apart COUNT\n");
    static void *small[4096];
    for (size_t i = 0; i < 4096; i++) {
        small[i] = malloc(16 + i % 64 * 16);
        memset(small[i], (int)i, 16);
    }
    for (int i = 0; i < atoi(argv[1]); i++) {
        /* Aligned so that an address of the kernel's choice is the first of a partition, if the two have anything in common. */
        char *aligned = (char *)aligned_alloc(GIB, MIB);
        char *large = (char *)malloc(300 * MIB + (size_t)i * 64 * 1024);
        CHECK(aligned != NULL && large != NULL, "apart: refused in round %d\n", i);
        aligned[0] = aligned[MIB - 1] = large[0] = 1;
        large = (char *)realloc(large, 301 * MIB + (size_t)i * 64 * 1024);
        CHECK(large != NULL && large[0] == 1, "content: a large block is lost in round %d\n", i);
        free(aligned);
        free(large);
    }
    for (size_t i = 0; i < 4096; i++) {
        for (size_t at = 0; at < 16; at++) {
            CHECK(((char *)small[i])[at] == (char)i, "content: block %zu changed\n", i);
        }
        free(small[i]);
    }
    return 0;
}
