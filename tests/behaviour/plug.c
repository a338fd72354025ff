/* A library that allocates, to be loaded and unloaded. */
#include "check.h"

static void *held[100];

__attribute__((constructor)) static void load(void)
{
    for (int i = 0; i < 100; i++) {
        held[i] = malloc((size_t)i * 100);
    }
}

__attribute__((destructor)) static void unload(void)
{
    for (int i = 0; i < 100; i++) {
        free(held[i]);
    }
}

/* A block that the program frees. */
void *plug_give(size_t size)
{
    void *block = malloc(size);
    memset(block, 6, size);
    return block;
}

/* A block of the program. */
void plug_take(void *block)
{
    free(block);
}
