// A C++ library for programs in C: what it asks for is refused, and it must be able to catch that.
#include <new>

static volatile std::size_t beyond = std::size_t(1) << 62;
static void *volatile sink;
static int calls;

static void give_up()
{
    calls++;
    std::set_new_handler(nullptr);
}

extern "C" int plug_catches()
{
    int caught = 0;
    try {
        sink = ::operator new(beyond);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    std::set_new_handler(give_up);
    try {
        sink = ::operator new[](beyond);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    if (calls == 1 && ::operator new(beyond, std::nothrow) == nullptr) {
        caught++;
    }
    return caught;
}
