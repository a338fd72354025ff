// A small program in several parts, heavy on templates and the standard library.
#pragma once

#include <cstdint>
#include <string>

class Random {
public:
    explicit Random(std::uint64_t seed) : state(seed) {}

    std::uint64_t below(std::uint64_t limit)
    {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (state * UINT64_C(2685821657736338717) >> 16) % limit;
    }

private:
    std::uint64_t state;
};

std::string containers();
std::string expressions();
std::string text();
std::string threads();
