// A program with basic operators new and delete of its own, which put a header before each block: all other forms come to them.
// replaced plain|arrays|aligned|refused
#include "check.h"
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

// What this is about: the program has none with a size.
#pragma GCC diagnostic ignored "-Wsized-deallocation"

static std::size_t made, unmade;
static const std::uint64_t MARK = 0x6d61726b6d61726b;

__attribute__((noinline)) static void *put(std::size_t size, std::size_t align)
{
    if (size > std::size_t(1) << 60) {
        throw std::bad_alloc();
    }
    const std::size_t room = align < 16 ? 16 : align;
    char *block = static_cast<char *>(aligned_alloc(room, (room + size + room - 1) / room * room));
    CHECK(block != nullptr, "replaced: no memory\n");
    std::uint64_t *mark = reinterpret_cast<std::uint64_t *>(block + room) - 1;
    *mark = MARK + room;
    made++;
    return block + room;
}

__attribute__((noinline)) static void take(void *block)
{
    if (block == nullptr) {
        return;
    }
    // The compiler knows that nothing is in front of what new returns, but not that a number is an address.
    std::uint64_t *mark = reinterpret_cast<std::uint64_t *>(reinterpret_cast<std::uintptr_t>(block) - sizeof *mark);
    const std::uint64_t room = *mark - MARK;
    CHECK(room >= 16 && room <= 4096, "replaced: %p was not made here\n", block);
    *mark = 0;
    unmade++;
    free(static_cast<char *>(block) - room);
}

void *operator new(std::size_t size)
{
    return put(size, 16);
}

void operator delete(void *block) noexcept
{
    take(block);
}

void *operator new(std::size_t size, std::align_val_t align)
{
    return put(size, static_cast<std::size_t>(align));
}

void operator delete(void *block, std::align_val_t) noexcept
{
    take(block);
}

static void all_came_here(const char *what, std::size_t count)
{
    CHECK(made == count && unmade == count, "replaced: of %zu %s %zu were made and %zu unmade here\n", count, what, made, unmade);
    made = unmade = 0;
}

static void plain()
{
    for (std::size_t size : {std::size_t(1), std::size_t(40), std::size_t(3000), std::size_t(100000)}) {
        ::operator delete(::operator new(size));
        ::operator delete(::operator new(size), size);
        ::operator delete(::operator new(size, std::nothrow));
        ::operator delete(::operator new(size), std::nothrow);
    }
    all_came_here("single blocks", 16);
    {
        auto text = std::make_unique<std::string>(std::size_t(500), 'x');
        std::vector<int> numbers(1000);
        CHECK((*text)[499] == 'x' && numbers[999] == 0, "replaced: wrong content\n");
    }
    all_came_here("containers' blocks", 3);
}

static void arrays()
{
    for (std::size_t size : {std::size_t(1), std::size_t(40), std::size_t(3000), std::size_t(100000)}) {
        ::operator delete[](::operator new[](size));
        ::operator delete[](::operator new[](size), size);
        ::operator delete[](::operator new[](size, std::nothrow));
        ::operator delete[](::operator new[](size), std::nothrow);
    }
    all_came_here("arrays", 16);
}

static void aligned()
{
    for (std::size_t size : {std::size_t(1), std::size_t(40), std::size_t(3000), std::size_t(100000)}) {
        const auto align = std::align_val_t(64);
        ::operator delete(::operator new(size, align), align);
        ::operator delete(::operator new(size, align), size, align);
        ::operator delete(::operator new(size, align, std::nothrow), align, std::nothrow);
        ::operator delete[](::operator new[](size, align), align);
        ::operator delete[](::operator new[](size, align), size, align);
        ::operator delete[](::operator new[](size, align, std::nothrow), align, std::nothrow);
    }
    all_came_here("aligned blocks", 24);
}

static volatile std::size_t beyond = std::size_t(1) << 62;

static void refused()
{
    const auto align = std::align_val_t(64);
    CHECK(::operator new(beyond, std::nothrow) == nullptr, "replaced: a refusal of new is not null\n");
    CHECK(::operator new[](beyond, std::nothrow) == nullptr, "replaced: a refusal of new[] is not null\n");
    CHECK(::operator new(beyond, align, std::nothrow) == nullptr, "replaced: a refusal of aligned new is not null\n");
    CHECK(::operator new[](beyond, align, std::nothrow) == nullptr, "replaced: a refusal of aligned new[] is not null\n");
    int caught = 0;
    try {
        ::operator delete[](::operator new[](beyond));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    try {
        ::operator delete[](::operator new[](beyond, align), align);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    CHECK(caught == 2, "replaced: %d of 2 refusals are thrown\n", caught);
    all_came_here("refusals", 0);
}

int main(int argc, char **argv)
{
    // What the C++ runtime made before.
    made = unmade = 0;
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "plain") {
        plain();
    } else if (mode == "arrays") {
        arrays();
    } else if (mode == "aligned") {
        aligned();
    } else {
        CHECK(mode == "refused", "replaced: plain, arrays, aligned or refused\n");
        refused();
    }
    return 0;
}
