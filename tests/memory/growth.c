/* Growth by realloc.
 *
 *   growth eighths|ends|doubling
 *
 * `eighths`: a buffer grows by an eighth at a time from 64 bytes to 200 MiB, its new part written. `ends`: the same, but
 * only its first and last byte are written, and both are checked after the next step: what growth itself costs.
 * `doubling`: numbers are pushed to an array that doubles, to 4 GiB. All are checked at the end. Prints one line of JSON: seconds, and the
 * peak of resident memory as a share of the final size. */

#define _GNU_SOURCE
#include "common.h"

#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

static void *grown(void *at, size_t size)
{
    void *new = realloc(at, size);
    if (new == NULL) {
        exit(2);
    }
    return new;
}

static size_t eighths(void)
{
    size_t size = 64;
    char *at = grown(NULL, size);
    memset(at, 7, size);
    while (size < (size_t)200 << 20) {
        size_t more = size / 8;
        at = grown(at, size + more);
        memset(at + size, 7, more);
        size += more;
    }
    for (size_t i = 0; i < size; i += 4096) {
        if (at[i] != 7) {
            exit(3);
        }
    }
    free(at);
    return size;
}

static size_t ends(void)
{
    size_t size = 64;
    char *at = grown(NULL, size);
    for (char turn = 1;; turn ^= 3) {
        at[0] = at[size - 1] = turn;
        if (size >= (size_t)200 << 20) {
            break;
        }
        size_t more = size / 8;
        at = grown(at, size + more);
        if (at[0] != turn || at[size - 1] != turn) {
            exit(3);
        }
        size += more;
    }
    free(at);
    return size;
}

static size_t doubling(void)
{
    size_t room = 4, most = (size_t)1 << 29;
    uint64_t *at = grown(NULL, room * sizeof *at);
    for (size_t n = 0; n < most; n++) {
        if (n == room) {
            room *= 2;
            at = grown(at, room * sizeof *at);
        }
        at[n] = n;
    }
    for (size_t i = 0; i < most; i += 512) {
        if (at[i] != i) {
            exit(3);
        }
    }
    free(at);
    return most * sizeof *at;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: growth eighths|ends|doubling\n", stderr);
        return 2;
    }
    double start = now();
    size_t size = strcmp(argv[1], "doubling") == 0 ? doubling() : strcmp(argv[1], "ends") == 0 ? ends() : eighths();
    double seconds = now() - start;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"seconds\":%.6f,\"peak_share\":%.4f}\n", seconds, (double)u.ru_maxrss * 1024 / (double)size);
    return 0;
}
