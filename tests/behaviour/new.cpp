// operator new and delete in all their forms.
// new forms|throw|handler|nothrow|containers
#include "check.h"
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

// Beyond what the compiler can see through.
static volatile std::size_t beyond = std::size_t(1) << 62;
static void *volatile sink;

struct alignas(256) Wide {
    char bytes[512];
};

static void used(void *block, std::size_t size, std::size_t align)
{
    CHECK(block != nullptr, "new: null for %zu bytes\n", size);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % align == 0, "new: %p is not aligned to %zu\n", block, align);
    CHECK(malloc_usable_size(block) >= size, "new: the block is not the allocator's or too small\n");
    fill(block, size, size);
    CHECK_CONTENT(block, size, size);
}

static void forms()
{
    static const std::size_t sizes[] = {0, 1, 16, 100, 5000, 50000, 5 * MIB};
    for (std::size_t size : sizes) {
        const std::size_t plain = size >= 16 ? 16 : 8;
        void *block = ::operator new(size);
        used(block, size, plain);
        ::operator delete(block);
        block = ::operator new(size);
        ::operator delete(block, size);
        block = ::operator new[](size);
        used(block, size, plain);
        ::operator delete[](block);
        block = ::operator new[](size);
        ::operator delete[](block, size);
        block = ::operator new(size, std::nothrow);
        used(block, size, plain);
        ::operator delete(block, std::nothrow);
        block = ::operator new[](size, std::nothrow);
        used(block, size, plain);
        ::operator delete[](block, std::nothrow);
        for (std::size_t to = 8; to <= 1 * MIB; to *= 4) {
            const auto align = std::align_val_t(to);
            block = ::operator new(size, align);
            used(block, size, to);
            ::operator delete(block, align);
            block = ::operator new(size, align);
            ::operator delete(block, size, align);
            block = ::operator new[](size, align);
            used(block, size, to);
            ::operator delete[](block, align);
            block = ::operator new[](size, align);
            ::operator delete[](block, size, align);
            block = ::operator new(size, align, std::nothrow);
            used(block, size, to);
            ::operator delete(block, align, std::nothrow);
            block = ::operator new[](size, align, std::nothrow);
            used(block, size, to);
            ::operator delete[](block, align, std::nothrow);
        }
        ::operator delete(::operator new(size), std::nothrow);
        free(::operator new(size));
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, std::size_t(5));
    auto wide = std::make_unique<Wide[]>(10);
    CHECK(reinterpret_cast<std::uintptr_t>(wide.get()) % 256 == 0, "new: an over-aligned array is at %p\n",
          static_cast<void *>(wide.get()));
    // What new gives was malloc's, and the other way round.
    ::operator delete(malloc(77));
}

template <typename Call> static void must_throw(const char *name, Call call)
{
    for (int i = 0; i < 100; i++) {
        bool thrown = false;
        try {
            // An object between the throw and the catch: unwinding must come by here.
            std::string witness(100, 'w');
            call();
        } catch (const std::bad_alloc &error) {
            thrown = std::string(error.what()).find("bad_alloc") != std::string::npos;
        }
        CHECK(thrown, "throw: %s does not throw std::bad_alloc\n", name);
    }
}

static void throwing()
{
    const std::size_t size = beyond;
    must_throw("new", [&] { sink = ::operator new(size); });
    must_throw("new[]", [&] { sink = ::operator new[](size); });
    must_throw("aligned new", [&] { sink = ::operator new(size, std::align_val_t(64)); });
    must_throw("aligned new[]", [&] { sink = ::operator new[](size, std::align_val_t(64)); });
    must_throw("new of SIZE_MAX", [&] { sink = ::operator new(~std::size_t(0)); });
    must_throw("a vector", [&] { std::vector<char> vector(size); });
    must_throw("new to a wrong alignment", [&] { sink = ::operator new(100, std::align_val_t(48)); });
}

static int calls;
static std::size_t *wanted;

static void count_then_give_up()
{
    if (++calls == 3) {
        std::set_new_handler(nullptr);
    }
}

static void count_then_throw()
{
    ++calls;
    throw std::bad_alloc();
}

static void count_then_help()
{
    if (++calls == 4) {
        // "Frees memory": the size wanted becomes one that can be had. The operator has its own copy of the size, so this
        // helps only the caller's next attempt; the handler ends this one by a throw of its own type.
        *wanted = 100;
        throw 42;
    }
}

static void handlers()
{
    const std::size_t size = beyond;
    void *(*const forms[])(std::size_t) = {
        [](std::size_t n) { return ::operator new(n); },
        [](std::size_t n) { return ::operator new[](n); },
        [](std::size_t n) { return ::operator new(n, std::align_val_t(128)); },
        [](std::size_t n) { return ::operator new[](n, std::align_val_t(128)); },
    };
    for (auto form : forms) {
        calls = 0;
        std::set_new_handler(count_then_give_up);
        bool thrown = false;
        try {
            form(size);
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        CHECK(thrown && calls == 3, "handler: called %d times instead of 3\n", calls);
        calls = 0;
        std::set_new_handler(count_then_throw);
        thrown = false;
        try {
            form(size);
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        CHECK(thrown && calls == 1, "handler: one that throws was called %d times\n", calls);
        calls = 0;
        std::size_t shrinking = size;
        wanted = &shrinking;
        std::set_new_handler(count_then_help);
        void *block = nullptr;
        while (block == nullptr) {
            try {
                block = form(shrinking);
            } catch (int number) {
                CHECK(number == 42, "handler: its exception was changed\n");
            }
        }
        CHECK(calls == 4, "handler: called %d times instead of 4\n", calls);
        ::operator delete(block);
    }
    std::set_new_handler(nullptr);
}

static void nothrow()
{
    const std::size_t size = beyond;
    void *(*const forms[])(std::size_t) = {
        [](std::size_t n) { return ::operator new(n, std::nothrow); },
        [](std::size_t n) { return ::operator new[](n, std::nothrow); },
        [](std::size_t n) { return ::operator new(n, std::align_val_t(128), std::nothrow); },
        [](std::size_t n) { return ::operator new[](n, std::align_val_t(128), std::nothrow); },
    };
    for (auto form : forms) {
        std::set_new_handler(nullptr);
        CHECK(form(size) == nullptr, "nothrow: no null without a handler\n");
        calls = 0;
        std::set_new_handler(count_then_give_up);
        CHECK(form(size) == nullptr && calls == 3, "nothrow: the handler was called %d times instead of 3\n", calls);
        calls = 0;
        std::set_new_handler(count_then_throw);
        CHECK(form(size) == nullptr && calls == 1, "nothrow: a throwing handler was called %d times\n", calls);
        std::set_new_handler(nullptr);
        void *block = form(100);
        CHECK(block != nullptr, "nothrow: refused what can be had\n");
        ::operator delete(block);
    }
}

static void containers()
{
    for (int round = 0; round < 20; round++) {
        std::map<std::string, std::vector<int>> tree;
        std::unordered_map<int, std::list<std::string>> table;
        for (int i = 0; i < 3000; i++) {
            tree[std::to_string(i * 7919 % 5003)].push_back(i);
            table[i % 100].push_back(std::string(static_cast<std::size_t>(i % 60 * 4), 'y'));
        }
        std::size_t numbers = 0, letters = 0;
        for (const auto &entry : tree) {
            numbers += entry.second.size();
        }
        for (const auto &entry : table) {
            for (const auto &string : entry.second) {
                letters += string.size();
                CHECK(string.find_first_not_of('y') == std::string::npos, "content: a string has changed\n");
            }
        }
        CHECK(numbers == 3000 && letters == 50 * 4 * 59 * 60 / 2, "containers: %zu numbers and %zu letters\n", numbers, letters);
    }
}

int main(int argc, char **argv)
{
    const std::string mode = argc == 2 ? argv[1] : "";
    if (mode == "forms") {
        forms();
    } else if (mode == "throw") {
        throwing();
    } else if (mode == "handler") {
        handlers();
    } else if (mode == "nothrow") {
        nothrow();
    } else if (mode == "containers") {
        containers();
    } else {
        fail("usage: new forms|throw|handler|nothrow|containers\n");
    }
    return 0;
}
