/* Counts the words of its standard input and prints the ten most frequent ones.
 *
 * An ordinary C program: every malloc, realloc and free in it is aloof's because it is linked with aloof. With
 * --stats it also asks aloof, through its own header, what that took. */
#include <aloof.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    char *text;
    size_t count;
};

struct table {
    struct word *slots;
    size_t capacity; /* a power of two */
    size_t used;
};

static size_t hash(const char *text)
{
    size_t hash = 1469598103934665603u;
    while (*text != '\0') {
        hash = (hash ^ (unsigned char)*text++) * 1099511628211u;
    }
    return hash;
}

static struct word *find(struct table *table, const char *text)
{
    size_t at = hash(text) & (table->capacity - 1);
    while (table->slots[at].text != NULL && strcmp(table->slots[at].text, text) != 0) {
        at = (at + 1) & (table->capacity - 1);
    }
    return &table->slots[at];
}

static int grow(struct table *table)
{
    struct table larger = {NULL, table->capacity == 0 ? 64 : table->capacity * 2, table->used};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].text != NULL) {
            *find(&larger, table->slots[i].text) = table->slots[i];
        }
    }
    free(table->slots);
    *table = larger;
    return 0;
}

static int count(struct table *table, const char *text)
{
    if (table->used * 4 >= table->capacity * 3 && grow(table) != 0) {
        return -1;
    }
    struct word *word = find(table, text);
    if (word->text == NULL) {
        word->text = strdup(text);
        if (word->text == NULL) {
            return -1;
        }
        table->used++;
    }
    word->count++;
    return 0;
}

/* Reads the next word into a buffer that grows as needed; 1 = a word, 0 = the end, -1 = out of memory. */
static int next_word(FILE *input, char **buffer, size_t *capacity)
{
    size_t length = 0;
    int c = getc(input);
    while (c != EOF && !isalnum(c)) {
        c = getc(input);
    }
    if (c == EOF) {
        return 0;
    }
    for (; c != EOF && isalnum(c); c = getc(input)) {
        if (length + 1 >= *capacity) {
            size_t larger = *capacity == 0 ? 16 : *capacity * 2;
            char *moved = realloc(*buffer, larger);
            if (moved == NULL) {
                return -1;
            }
            *buffer = moved;
            *capacity = larger;
        }
        (*buffer)[length++] = (char)tolower(c);
    }
    (*buffer)[length] = '\0';
    return 1;
}

static int by_count(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    if (a->text == NULL || b->text == NULL) {
        return a->text == NULL ? (b->text != NULL) : -1;
    }
    return strcmp(a->text, b->text);
}

int main(int argc, char **argv)
{
    struct table table = {NULL, 0, 0};
    char *buffer = NULL;
    size_t capacity = 0;
    int got;
    while ((got = next_word(stdin, &buffer, &capacity)) > 0) {
        if (count(&table, buffer) != 0) {
            got = -1;
            break;
        }
    }
    if (got < 0) {
        fputs("wordcount: out of memory\n", stderr);
        return 1;
    }
    if (table.used > 0) {
        qsort(table.slots, table.capacity, sizeof *table.slots, by_count);
    }
    for (size_t i = 0; i < table.used && i < 10; i++) {
        printf("%zu %s\n", table.slots[i].count, table.slots[i].text);
    }
    if (argc > 1 && strcmp(argv[1], "--stats") == 0) {
        aloof_stats_t stats;
        aloof_stats(&stats, sizeof stats);
        printf("aloof %s: %llu bytes live, %llu bytes committed\n", aloof_version(),
               (unsigned long long)stats.live_bytes, (unsigned long long)stats.committed_bytes);
    }
    for (size_t i = 0; i < table.used; i++) {
        free(table.slots[i].text);
    }
    free(table.slots);
    free(buffer);
    return 0;
}
