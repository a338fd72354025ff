/* Libraries come and go.
 * dlopen plug PLUG             a library that allocates is loaded and unloaded many times, by threads as well
 * dlopen own LIBRARY           the allocator itself is loaded into a program whose malloc is another one */
#include "check.h"
#include <dlfcn.h>
#include <stdatomic.h>

static const char *path;

static void *find(void *library, const char *name)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL, "dlopen: %s is missing: %s\n", name, dlerror());
    return found;
}

static void *load_and_unload(void *unused)
{
    (void)unused;
    for (int i = 0; i < 150; i++) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(library != NULL, "dlopen: %s\n", dlerror());
        void *(*give)(size_t) = (void *(*)(size_t))find(library, "plug_give");
        void (*take)(void *) = (void (*)(void *))find(library, "plug_take");
        unsigned char *block = (unsigned char *)give(1000);
        take(malloc(500));
        CHECK(dlclose(library) == 0, "dlclose: %s\n", dlerror());
        CHECK(block[0] == 6 && block[999] == 6, "content: a block of an unloaded library has changed\n");
        free(block);
    }
    return NULL;
}

struct api {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void (*free)(void *);
    size_t (*usable_size)(const void *);
    int (*purge)(void);
    const char *(*version)(void);
};

static struct api api;
static _Atomic(void *) shared[64];

static void *use_api(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;
    for (int i = 0; i < 20000; i++) {
        size_t size = draw_size(&random, i % 500 == 0 ? RUN : POOLED);
        unsigned char *block = (unsigned char *)(i % 3 == 0 ? api.calloc(1, size) : api.malloc(size));
        CHECK(block != NULL && api.usable_size(block) >= size, "%zu bytes refused\n", size);
        if (size > 0) {
            block[0] = block[size - 1] = 1;
        }
        block = (unsigned char *)api.realloc(block, size + 10);
        api.free(atomic_exchange(&shared[draw_below(&random, 64)], block));
        free(malloc(size));
    }
    return NULL;
}

static void *load_own(void)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL, "dlopen: %s\n", dlerror());
    api.malloc = (void *(*)(size_t))find(library, "aloof_malloc");
    api.calloc = (void *(*)(size_t, size_t))find(library, "aloof_calloc");
    api.realloc = (void *(*)(void *, size_t))find(library, "aloof_realloc");
    api.aligned_alloc = (void *(*)(size_t, size_t))find(library, "aloof_aligned_alloc");
    api.free = (void (*)(void *))find(library, "aloof_free");
    api.usable_size = (size_t (*)(const void *))find(library, "aloof_usable_size");
    api.purge = (int (*)(void))find(library, "aloof_purge");
    api.version = (const char *(*)(void))find(library, "aloof_version");
    return library;
}

static void run_threads(void *(*body)(void *))
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) {
        start(&threads[i], body, (void *)i);
    }
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
}

/* Threads that used the allocator end after it was closed. */
static atomic_int closed;

static void *outlive(void *argument)
{
    use_api(argument);
    while (!atomic_load(&closed)) {
        usleep(100);
    }
    return NULL;
}

static void own(void)
{
    void *library = load_own();
    void *ours = api.aligned_alloc(4096, 100000);
    CHECK(ours != NULL && (uintptr_t)ours % 4096 == 0, "dlopen: aloof_aligned_alloc gives %p\n", ours);
    CHECK(strchr(api.version(), '.') != NULL, "dlopen: aloof_version gives %s\n", api.version());
    run_threads(use_api);
    CHECK((api.purge() & ~1) == 0, "dlopen: aloof_purge answers neither 0 nor 1\n");
    pthread_t late;
    start(&late, outlive, (void *)9);
    usleep(2000);
    for (int i = 0; i < 20; i++) {
        CHECK(dlclose(library) == 0, "dlclose: %s\n", dlerror());
        library = load_own();
        void *block = api.malloc(100);
        CHECK(block != NULL, "dlopen: refused after the library was loaded again\n");
        api.free(block);
    }
    api.free(ours);
    CHECK(dlclose(library) == 0, "dlclose: %s\n", dlerror());
    atomic_store(&closed, 1);
    join(late);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3, "usage: dlopen plug|own PATH\n");
    path = argv[2];
    if (strcmp(argv[1], "plug") == 0) {
        load_and_unload(NULL);
        run_threads(load_and_unload);
    } else {
        own();
    }
    return 0;
}
