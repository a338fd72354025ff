/* A small program in several parts, for the C compiler to chew on. */
#ifndef PARTS_H
#define PARTS_H

#include <stddef.h>
#include <stdint.h>

/* A table of counted words, open addressing. */
struct table {
    struct entry {
        char *key;
        uint64_t count;
    } *entries;
    size_t used, capacity;
};

void table_init(struct table *table);
uint64_t *table_count(struct table *table, const char *key, size_t length);
void table_each(const struct table *table, void (*visit)(const char *, uint64_t, void *), void *context);
void table_free(struct table *table);

/* A compressor of byte pairs that were seen before. */
size_t pack(const uint8_t *from, size_t length, uint8_t *to);
size_t unpack(const uint8_t *from, size_t length, uint8_t *to, size_t room);

/* Values as in JSON. */
struct value {
    enum kind { NOTHING, NUMBER, TEXT, LIST } kind;
    union {
        double number;
        char *text;
        struct {
            struct value *items;
            size_t count;
        } list;
    } as;
};

const char *value_parse(const char *text, struct value *value);
double value_sum(const struct value *value);
void value_free(struct value *value);

/* Shortest ways in a weighted graph. */
uint64_t shortest_ways(unsigned nodes, unsigned edges, uint64_t seed);

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

#endif
