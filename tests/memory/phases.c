/* Phases of different size mixes, as a day of a server in minutes.
 *
 *   phases SECONDS COUNT
 *
 * COUNT phases of SECONDS each, two threads with 100 MiB of live blocks each, written whole. In a phase every block is replaced
 * by blocks of the phase's mix, as often as there is time for; then a quarter of the time passes in sleep, and resident
 * memory is compared with the live bytes. Prints one line of JSON: live and resident bytes after each phase; the largest surplus of
 * the one over the other, as a share, as it is and beyond 16 MiB that an allocator may keep; and by how much the surplus of the
 * last third of the phases is above that of the first. The program's own tables are mappings of its own. */

#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 2, MOST = 1 << 23, PHASES_MOST = 1000, KEPT = 16 << 20 };
static const size_t LIVE = (size_t)100 << 20;

struct block {
    char *at;
    size_t size;
};

struct mix {
    size_t smallest, largest;
};
static const struct mix mixes[] = {
    {16, 256}, {512, 8 << 10}, {16, 2 << 10}, {32 << 10, 230 << 10}, {64, 64 << 10}, {128 << 10, 4 << 20}, {24, 96},
};

static struct {
    struct block *blocks;
    size_t count, live;
    uint64_t state;
} of[THREADS];

static size_t phases;
static double seconds, phase_start;
static pthread_barrier_t barrier;

/* Equally many of each power of two. */
static size_t draw_size(uint64_t *state, const struct mix *mix)
{
    size_t powers = 0;
    while (mix->smallest << powers < mix->largest) {
        powers++;
    }
    size_t size = mix->smallest << draw(state) % powers;
    size += draw(state) % size;
    return size < mix->largest ? size : mix->largest;
}

static void free_block(size_t thread, size_t i)
{
    struct block *block = &of[thread].blocks[i];
    if (block->at[0] != (char)block->size || block->at[block->size - 1] != (char)block->size) {
        exit(3);
    }
    free(block->at);
    of[thread].live -= block->size;
}

static void *work(void *argument)
{
    size_t self = (size_t)argument;
    struct block *blocks = of[self].blocks;
    for (size_t phase = 0; phase < phases; phase++) {
        const struct mix *mix = &mixes[phase % (sizeof mixes / sizeof *mixes)];
        /* Blocks of earlier phases are the first of the table, and go first. */
        size_t old = of[self].count;
        while (old > 0 || now() - phase_start < seconds * 3 / 4) {
            for (size_t passed = 0; passed < LIVE;) {
                size_t size = draw_size(&of[self].state, mix);
                while (of[self].live + size > LIVE) {
                    size_t i = draw(&of[self].state) % (old > 0 ? old : of[self].count);
                    free_block(self, i);
                    if (old > 0) {
                        blocks[i] = blocks[--old];
                        i = old;
                    }
                    blocks[i] = blocks[--of[self].count];
                }
                char *at = malloc(size);
                if (at == NULL || of[self].count == MOST) {
                    exit(2);
                }
                memset(at, (char)size, size);
                blocks[of[self].count++] = (struct block){at, size};
                of[self].live += size;
                passed += size;
            }
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3 || (phases = (size_t)atol(argv[2])) < 3 || phases > PHASES_MOST) {
        fputs("usage: phases SECONDS COUNT (3 to 1000)\n", stderr);
        return 2;
    }
    seconds = atof(argv[1]);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    size_t tables = 0;
    for (size_t i = 0; i < THREADS; i++) {
        size_t bytes = MOST * sizeof(struct block);
        of[i].blocks = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (of[i].blocks == MAP_FAILED) {
            return 2;
        }
        of[i].state = seed(i);
    }
    tables = resident();
    double start = now();
    phase_start = start;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    static size_t live[PHASES_MOST], there[PHASES_MOST];
    double surplus[PHASES_MOST], most = 0, beyond = 0, first = 0, last = 0;
    for (size_t phase = 0; phase < phases; phase++) {
        pthread_barrier_wait(&barrier);
        usleep((useconds_t)(seconds * 250000));
        for (size_t i = 0; i < THREADS; i++) {
            live[phase] += of[i].live;
        }
        there[phase] = resident() - tables;
        surplus[phase] = (double)there[phase] / (double)live[phase] - 1;
        most = surplus[phase] > most ? surplus[phase] : most;
        double more = ((double)there[phase] - KEPT) / (double)live[phase] - 1;
        beyond = more > beyond ? more : beyond;
        phase_start = now();
        pthread_barrier_wait(&barrier);
    }
    for (size_t i = 0; i < phases / 3; i++) {
        first += surplus[i];
        last += surplus[phases - 1 - i];
    }
    printf("{\"live\":[");
    for (size_t i = 0; i < phases; i++) {
        printf("%s%zu", i ? "," : "", live[i]);
    }
    printf("],\"resident\":[");
    for (size_t i = 0; i < phases; i++) {
        printf("%s%zu", i ? "," : "", there[i]);
    }
    printf("],\"most\":%.4f,\"beyond\":%.4f,\"rise\":%.4f,\"seconds\":%.1f}\n", most, beyond, (last - first) / (double)(phases / 3), now() - start);
    return 0;
}
