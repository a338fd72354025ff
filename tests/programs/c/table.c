#include "parts.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *key, size_t length)
{
    uint64_t value = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < length; i++)
        value = (value ^ (unsigned char)key[i]) * UINT64_C(1099511628211);
    return value ^ value >> 29;
}

void table_init(struct table *table)
{
    table->used = 0;
    table->capacity = 16;
    table->entries = calloc(table->capacity, sizeof *table->entries);
    if (!table->entries)
        abort();
}

static struct entry *find(struct entry *entries, size_t capacity, const char *key, size_t length)
{
    size_t at = hash(key, length) & (capacity - 1);
    while (entries[at].key && (strncmp(entries[at].key, key, length) || entries[at].key[length]))
        at = (at + 1) & (capacity - 1);
    return &entries[at];
}

static void grow(struct table *table)
{
    size_t capacity = table->capacity * 2;
    struct entry *entries = calloc(capacity, sizeof *entries);
    if (!entries)
        abort();
    for (size_t i = 0; i < table->capacity; i++) {
        struct entry *old = &table->entries[i];
        if (old->key)
            *find(entries, capacity, old->key, strlen(old->key)) = *old;
    }
    free(table->entries);
    table->entries = entries;
    table->capacity = capacity;
}

uint64_t *table_count(struct table *table, const char *key, size_t length)
{
    if (table->used * 4 >= table->capacity * 3)
        grow(table);
    struct entry *entry = find(table->entries, table->capacity, key, length);
    if (!entry->key) {
        entry->key = malloc(length + 1);
        if (!entry->key)
            abort();
        memcpy(entry->key, key, length);
        entry->key[length] = 0;
        table->used++;
    }
    return &entry->count;
}

static int by_count(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->key, b->key);
}

void table_each(const struct table *table, void (*visit)(const char *, uint64_t, void *), void *context)
{
    struct entry *sorted = malloc((table->used ? table->used : 1) * sizeof *sorted);
    size_t count = 0;
    if (!sorted)
        abort();
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].key)
            sorted[count++] = table->entries[i];
    qsort(sorted, count, sizeof *sorted, by_count);
    for (size_t i = 0; i < count; i++)
        visit(sorted[i].key, sorted[i].count, context);
    free(sorted);
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++)
        free(table->entries[i].key);
    free(table->entries);
}
