#include "parts.h"

#include <stdlib.h>
#include <string.h>

struct edge {
    struct edge *next;
    unsigned to, weight;
};

struct heap {
    struct place {
        uint64_t distance;
        unsigned node;
    } *places;
    size_t count, room;
};

static void push(struct heap *heap, struct place place)
{
    if (heap->count == heap->room) {
        heap->room = heap->room ? heap->room * 2 : 64;
        struct place *places = realloc(heap->places, heap->room * sizeof *places);
        if (!places)
            abort();
        heap->places = places;
    }
    size_t at = heap->count++;
    for (; at && heap->places[(at - 1) / 2].distance > place.distance; at = (at - 1) / 2)
        heap->places[at] = heap->places[(at - 1) / 2];
    heap->places[at] = place;
}

static struct place pop(struct heap *heap)
{
    struct place top = heap->places[0], last = heap->places[--heap->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && heap->places[child + 1].distance < heap->places[child].distance)
            child++;
        if (heap->places[child].distance >= last.distance)
            break;
        heap->places[at] = heap->places[child];
    }
    heap->places[at] = last;
    return top;
}

uint64_t shortest_ways(unsigned nodes, unsigned edges, uint64_t seed)
{
    struct edge **out = calloc(nodes, sizeof *out);
    uint64_t *distance = malloc(nodes * sizeof *distance);
    struct heap heap = {0};
    uint64_t sum = 0;
    if (!out || !distance)
        abort();
    for (unsigned i = 0; i < edges; i++) {
        unsigned from = next_random(&seed) % nodes;
        struct edge *edge = malloc(sizeof *edge);
        if (!edge)
            abort();
        *edge = (struct edge){out[from], next_random(&seed) % nodes, 1 + next_random(&seed) % 1000};
        out[from] = edge;
    }
    memset(distance, 0xff, nodes * sizeof *distance);
    distance[0] = 0;
    push(&heap, (struct place){0, 0});
    while (heap.count) {
        struct place place = pop(&heap);
        if (place.distance > distance[place.node])
            continue;
        for (struct edge *edge = out[place.node]; edge; edge = edge->next) {
            uint64_t next = place.distance + edge->weight;
            if (next < distance[edge->to]) {
                distance[edge->to] = next;
                push(&heap, (struct place){next, edge->to});
            }
        }
    }
    for (unsigned i = 0; i < nodes; i++) {
        if (distance[i] != UINT64_MAX)
            sum = sum * 31 + distance[i];
        for (struct edge *edge = out[i], *next; edge; edge = next) {
            next = edge->next;
            free(edge);
        }
    }
    free(heap.places);
    free(distance);
    free(out);
    return sum;
}
