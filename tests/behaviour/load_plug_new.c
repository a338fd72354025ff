/* A program in C loads a library in C++, out of sight of everyone else, whose operator new fails.
 * load_plug_new PLUG */
#include "check.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: load_plug_new PLUG\n");
    CHECK(dlsym(RTLD_DEFAULT, "__cxa_throw") == NULL, "the program has a C++ runtime already\n");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL, "dlopen: %s\n", dlerror());
    int (*catches)(void) = (int (*)(void))dlsym(library, "plug_catches");
    CHECK(catches != NULL, "dlsym: %s\n", dlerror());
    int caught = catches();
    CHECK(caught == 3, "throw: the library caught %d of 3 refusals\n", caught);
    return 0;
}
