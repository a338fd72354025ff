#include "parts.h"

#include <string.h>

/* Output: a length byte below 128 and that many bytes, or 128 + length and a 16-bit distance back. */

enum { SHORTEST = 4, LONGEST = SHORTEST + 127, REACH = 65535, SLOTS = 1 << 14 };

static uint32_t slot_of(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return (word * UINT32_C(2654435761)) >> 18;
}

static size_t flush(const uint8_t *from, size_t count, uint8_t *to)
{
    size_t written = 0;
    while (count) {
        size_t part = count < 127 ? count : 127;
        to[written++] = (uint8_t)part;
        memcpy(to + written, from, part);
        written += part;
        from += part;
        count -= part;
    }
    return written;
}

size_t pack(const uint8_t *from, size_t length, uint8_t *to)
{
    size_t last[SLOTS];
    size_t written = 0, plain = 0, at = 0;
    memset(last, 0xff, sizeof last);
    while (at + SHORTEST <= length) {
        uint32_t slot = slot_of(from + at);
        size_t before = last[slot];
        last[slot] = at;
        if (before != SIZE_MAX && at - before <= REACH && !memcmp(from + before, from + at, SHORTEST)) {
            size_t run = SHORTEST;
            while (run < LONGEST && at + run < length && from[before + run] == from[at + run])
                run++;
            written += flush(from + plain, at - plain, to + written);
            to[written++] = (uint8_t)(128 + run - SHORTEST);
            to[written++] = (uint8_t)(at - before);
            to[written++] = (uint8_t)((at - before) >> 8);
            at += run;
            plain = at;
        } else {
            at++;
        }
    }
    return written + flush(from + plain, length - plain, to + written);
}

size_t unpack(const uint8_t *from, size_t length, uint8_t *to, size_t room)
{
    size_t written = 0;
    for (size_t at = 0; at < length;) {
        unsigned head = from[at++];
        if (head < 128) {
            if (written + head > room || at + head > length)
                return 0;
            memcpy(to + written, from + at, head);
            at += head;
            written += head;
        } else {
            size_t run = head - 128 + SHORTEST;
            if (at + 2 > length || written + run > room)
                return 0;
            size_t back = from[at] | (size_t)from[at + 1] << 8;
            at += 2;
            if (!back || back > written)
                return 0;
            for (size_t i = 0; i < run; i++, written++)
                to[written] = to[written - back];
        }
    }
    return written;
}
