/* What a published prototype of the same idea got wrong: the same block twice, calloc that clears nothing, and patterns of
 * sizes that recycle a handful of addresses.
 * regress */
#include "check.h"

#define LIVE 30000
static unsigned char *blocks[LIVE];

static int by_address(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)*(unsigned char *const *)left, b = (uintptr_t)*(unsigned char *const *)right;
    return a < b ? -1 : a > b;
}

/* All live at a time, written, and found as they were; then no address occurs twice. */
static void all_apart(const char *name, size_t (*size_of)(size_t), size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = (unsigned char *)malloc(size_of(i));
        CHECK(blocks[i] != NULL, "%s: %zu bytes refused\n", name, size_of(i));
        blocks[i][0] = (unsigned char)i;
        blocks[i][size_of(i) - 1] = (unsigned char)i;
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(blocks[i][0] == (unsigned char)i && blocks[i][size_of(i) - 1] == (unsigned char)i,
              "%s: content: block %zu of %zu bytes has changed\n", name, i, size_of(i));
    }
    for (size_t i = 0; i < count; i++) {
        unsigned char *block = blocks[i];
        if (i % 3 == 0) {
            free(block);
            blocks[i] = (unsigned char *)malloc(size_of(i));
        }
    }
    qsort(blocks, count, sizeof *blocks, by_address);
    for (size_t i = 1; i < count; i++) {
        CHECK(blocks[i] != blocks[i - 1], "%s: %p was handed out twice\n", name, (void *)blocks[i]);
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static size_t scatter(size_t i)
{
    return (size_t)16 << i % 3;
}

static size_t scatter_wide(size_t i)
{
    return (size_t)64 << i % 7;
}

static size_t random_small(size_t i)
{
    uint64_t state = i * 2654435761u + 1;
    draw(&state);
    return 1 + draw_below(&state, 1023);
}

static size_t random_wide(size_t i)
{
    uint64_t state = i * 2654435761u + 7;
    draw(&state);
    return 1 + draw_below(&state, 128 * KIB);
}

int main(void)
{
    unsigned char *one = (unsigned char *)malloc(16), *other = (unsigned char *)malloc(1000), *third = (unsigned char *)malloc(16);
    CHECK(one != third && one != other && other != third, "three blocks: %p was handed out twice\n", (void *)third);
    fill(one, 16, 1);
    fill(other, 1000, 2);
    fill(third, 16, 3);
    CHECK_CONTENT(one, 16, 1);
    CHECK_CONTENT(other, 1000, 2);
    CHECK_CONTENT(third, 16, 3);
    memset(other, 0xff, 1000);
    free(other);
    unsigned char *clear = (unsigned char *)calloc(10, 100);
    CHECK(first_nonzero(clear, 1000) == 1000, "calloc is not zero\n");
    free(one);
    free(third);
    free(clear);
    /* The same with every pair of small classes. */
    for (size_t a = 8; a <= 2048; a += 8) {
        for (size_t b = 8; b <= 2048; b += 88) {
            void *x = malloc(a), *y = malloc(b), *z = malloc(a);
            CHECK(x != y && y != z && x != z, "sizes %zu, %zu, %zu: a block was handed out twice\n", a, b, a);
            free(y);
            free(x);
            free(z);
        }
    }
    all_apart("scatter", scatter, LIVE);
    all_apart("wide scatter", scatter_wide, LIVE);
    all_apart("random", random_small, LIVE);
    all_apart("wide random", random_wide, 6000);
    return 0;
}
