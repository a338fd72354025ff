/* The threads of a program end one by one, that of main first; the process ends with the last of them, whatever threads the
 * allocator has. */
#include "check.h"

static void *work(void *unused)
{
    (void)unused;
    /* Enough for memory to be given back, and the time for it. */
    for (int round = 0; round < 3; round++) {
        void *blocks[64];
        for (int i = 0; i < 64; i++) {
            blocks[i] = malloc(MIB - 100);
            CHECK(blocks[i] != NULL, "last thread: no memory\n");
            memset(blocks[i], 1, MIB - 100);
        }
        for (int i = 0; i < 64; i++) {
            free(blocks[i]);
        }
        usleep(100000);
    }
    return NULL;
}

int main(void)
{
    pthread_t first, second;
    start(&first, work, NULL);
    start(&second, work, NULL);
    CHECK(pthread_detach(first) == 0 && pthread_detach(second) == 0, "pthread_detach failed\n");
    pthread_exit(NULL);
}
