#include "parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *skip(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static const char *parse_list(const char *text, struct value *value)
{
    size_t room = 0;
    value->kind = LIST;
    value->as.list.items = NULL;
    value->as.list.count = 0;
    text = skip(text + 1);
    while (*text && *text != ']') {
        if (value->as.list.count == room) {
            room = room ? room * 2 : 4;
            struct value *items = realloc(value->as.list.items, room * sizeof *items);
            if (!items)
                abort();
            value->as.list.items = items;
        }
        text = skip(value_parse(text, &value->as.list.items[value->as.list.count++]));
        if (*text == ',')
            text = skip(text + 1);
    }
    return *text ? text + 1 : text;
}

const char *value_parse(const char *text, struct value *value)
{
    text = skip(text);
    if (*text == '[')
        return parse_list(text, value);
    if (*text == '"') {
        const char *end = strchr(text + 1, '"');
        if (!end)
            end = text + strlen(text) - 1;
        value->kind = TEXT;
        value->as.text = strndup(text + 1, (size_t)(end - text - 1));
        if (!value->as.text)
            abort();
        return end + 1;
    }
    char *end;
    value->kind = NUMBER;
    value->as.number = strtod(text, &end);
    if (end == text) {
        value->kind = NOTHING;
        return *text ? text + 1 : text;
    }
    return end;
}

double value_sum(const struct value *value)
{
    double sum = 0;
    switch (value->kind) {
    case NOTHING:
        break;
    case NUMBER:
        sum = value->as.number;
        break;
    case TEXT:
        sum = (double)strlen(value->as.text);
        break;
    case LIST:
        for (size_t i = 0; i < value->as.list.count; i++)
            sum += value_sum(&value->as.list.items[i]);
        break;
    }
    return sum;
}

void value_free(struct value *value)
{
    if (value->kind == TEXT)
        free(value->as.text);
    if (value->kind == LIST) {
        for (size_t i = 0; i < value->as.list.count; i++)
            value_free(&value->as.list.items[i]);
        free(value->as.list.items);
    }
    value->kind = NOTHING;
}
