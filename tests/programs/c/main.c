#include "parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_first(const char *key, uint64_t count, void *context)
{
    int *left = context;
    if (*left > 0) {
        printf("%s %" PRIu64 "\n", key, count);
        --*left;
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) + 1 : 1;
    size_t length = 0, room = 1 << 20;
    char *text = malloc(room);
    uint8_t *packed = malloc(room * 2);
    char *back = malloc(room);
    struct table table;
    if (!text || !packed || !back)
        return 1;

    table_init(&table);
    while (length + 32 < room) {
        uint64_t word = next_random(&seed) % 5000;
        int size = snprintf(text + length, 32, "w%" PRIu64 " ", word * word % 4093);
        ++*table_count(&table, text + length, (size_t)size - 1);
        length += (size_t)size;
    }
    int left = 12;
    table_each(&table, print_first, &left);
    table_free(&table);

    size_t small = pack((uint8_t *)text, length, packed);
    size_t whole = unpack(packed, small, (uint8_t *)back, room);
    printf("%zu %zu %s\n", length, small, whole == length && !memcmp(text, back, length) ? "same" : "DIFFERENT");

    size_t at = 0;
    for (int i = 0; i < 20000; i++)
        at += (size_t)snprintf(text + at, room - at, i % 7 ? "%d, " : "[\"t%d\", ", i);
    for (int i = 0; i < 20000; i += 7)
        at += (size_t)snprintf(text + at, room - at, "]");
    struct value value;
    size_t used = strlen(text);
    memmove(text + 1, text, used + 1);
    text[0] = '[';
    value_parse(text, &value);
    printf("%.0f\n", value_sum(&value));
    value_free(&value);

    printf("%" PRIu64 "\n", shortest_ways(20000, 90000, seed));
    free(back);
    free(packed);
    free(text);
    return 0;
}
