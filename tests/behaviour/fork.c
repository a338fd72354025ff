/* fork while other threads allocate: the child can do everything.
 * fork load|thread|nested|spawn FORKS */
#include "check.h"
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define SHARED 128

static atomic_int stop, running;
static _Atomic(unsigned char *) shared[SHARED];

/* Allocates, frees, and hands blocks to the others through a table, without end. */
static void *load(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 31;
    atomic_fetch_add(&running, 1);
    while (!atomic_load(&stop)) {
        size_t size = 16 + draw_size(&random, draw_below(&random, 200) == 0 ? RUN : POOLED);
        unsigned char *block = (unsigned char *)malloc(size);
        CHECK(block != NULL, "%zu bytes refused\n", size);
        memcpy(block, &size, sizeof size);
        block[size - 1] = 77;
        free(atomic_exchange(&shared[draw_below(&random, SHARED)], block));
    }
    return NULL;
}

static void *in_childs_thread(void *unused)
{
    (void)unused;
    uint64_t random = 3;
    void *blocks[100];
    for (int i = 0; i < 100; i++) {
        blocks[i] = calloc(1, draw_size(&random, i % 30 == 0 ? RUN : POOLED));
        CHECK(blocks[i] != NULL, "refused in a thread of the child\n");
    }
    for (int i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    return NULL;
}

/* Seconds until a child counts as hanging. */
static unsigned patience(void)
{
    const char *seconds = getenv("PATIENCE");
    return seconds != NULL ? (unsigned)atoi(seconds) : 60;
}

/* Everything a child may want: blocks of its own, the parent's blocks freed and resized, a thread, a child. */
static void live_as_child(int depth)
{
    alarm(patience());
    uint64_t random = (uint64_t)getpid();
    for (int i = 0; i < 120; i++) {
        size_t size = draw_size(&random, i % 50 == 0 ? RUN : POOLED);
        unsigned char *block = (unsigned char *)malloc(size);
        CHECK(block != NULL, "%zu bytes refused in the child\n", size);
        fill(block, size, 9);
        block = (unsigned char *)realloc(block, size + 100);
        CHECK_CONTENT(block, size, 9);
        free(block);
    }
    for (int i = 0; i < SHARED; i++) {
        unsigned char *block = atomic_exchange(&shared[i], NULL);
        if (block == NULL) {
            continue;
        }
        size_t size;
        memcpy(&size, block, sizeof size);
        CHECK(block[size - 1] == 77, "content: a block of the parent has changed\n");
        if (i % 2 == 0) {
            free(block);
        } else {
            block = (unsigned char *)realloc(block, size * 2);
            CHECK(block != NULL && block[size - 1] == 77, "content: a block of the parent was lost in realloc\n");
            free(block);
        }
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        start(&threads[i], in_childs_thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        join(threads[i]);
    }
    if (depth > 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            live_as_child(depth - 1);
            exit(0);
        }
        int status;
        CHECK(grandchild > 0 && waitpid(grandchild, &status, 0) == grandchild && status == 0, "the grandchild failed\n");
    }
}

static void fork_once(int depth, int by_exit)
{
    pid_t child = fork();
    CHECK(child >= 0, "fork: %s\n", strerror(errno));
    if (child == 0) {
        live_as_child(depth);
        if (by_exit) {
            exit(0);
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waitpid: %s\n", strerror(errno));
    CHECK(!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM, "the child hangs\n");
    CHECK(status == 0, "the child ended with status %#x\n", (unsigned)status);
}

static int forks;

static void *fork_from_thread(void *unused)
{
    (void)unused;
    free(malloc(1000));
    for (int i = 0; i < forks; i++) {
        fork_once(0, i % 2);
    }
    return NULL;
}

static void spawn_programs(void)
{
    extern char **environ;
    for (int i = 0; i < forks; i++) {
        pid_t child;
        char *arguments[] = {(char *)"true", NULL};
        CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0, "posix_spawn failed\n");
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "the spawned program failed\n");
        if (i % 10 == 0) {
            CHECK(system("exit 3") == 3 << 8, "system() lost the status\n");
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 3, "usage: fork load|thread|nested|spawn FORKS\n");
    forks = atoi(argv[2]);
    pthread_t threads[3], forker;
    for (long i = 0; i < 3; i++) {
        start(&threads[i], load, (void *)i);
    }
    while (atomic_load(&running) < 3) {
        usleep(100);
    }
    if (strcmp(argv[1], "thread") == 0) {
        start(&forker, fork_from_thread, NULL);
        join(forker);
    } else if (strcmp(argv[1], "spawn") == 0) {
        spawn_programs();
    } else {
        for (int i = 0; i < forks; i++) {
            fork_once(strcmp(argv[1], "nested") == 0 ? 2 : 0, i % 2);
        }
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) {
        join(threads[i]);
    }
    for (int i = 0; i < SHARED; i++) {
        free(atomic_exchange(&shared[i], NULL));
    }
    return 0;
}
