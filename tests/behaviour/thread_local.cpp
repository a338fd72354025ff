// C++ objects with thread storage allocate when they are made, and free, allocate and resize when their thread ends, after
// other thread-exit handlers have run; static objects do so before and after main.
#include "check.h"
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> made, gone;

struct Hoard {
    std::vector<std::string> strings;
    std::map<int, std::unique_ptr<std::vector<int>>> tree;
    std::string name;

    explicit Hoard(std::string given) : name(std::move(given))
    {
        made++;
        grow(200);
    }

    void grow(int count)
    {
        for (int i = 0; i < count; i++) {
            strings.push_back(std::string(static_cast<std::size_t>(i), 'x') + name);
            tree[i * 7919 % 1009] = std::make_unique<std::vector<int>>(static_cast<std::size_t>(i), i);
        }
    }

    void verify() const
    {
        for (const auto &string : strings) {
            CHECK(string.size() >= name.size() && string.compare(string.size() - name.size(), name.size(), name) == 0,
                  "content: a string of %s has changed\n", name.c_str());
        }
        for (const auto &entry : tree) {
            for (int number : *entry.second) {
                CHECK(number == static_cast<int>(entry.second->size()), "content: a vector of %s has changed\n", name.c_str());
            }
        }
    }

    ~Hoard()
    {
        verify();
        strings.erase(strings.begin(), strings.begin() + static_cast<long>(strings.size() / 2));
        grow(50);
        verify();
        gone++;
    }
};

static Hoard before_main("a static object");
static thread_local Hoard first("the first of the thread");
static thread_local Hoard second("the second of the thread, with a name that is long enough for the heap");

// Destroyed after every static object and thread-local one.
__attribute__((destructor)) static void at_the_end()
{
    auto last = std::make_unique<Hoard>("the last");
    last->grow(100);
}

int main()
{
    for (int round = 0; round < 10; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 6; i++) {
            threads.emplace_back([] {
                first.grow(30);
                second.grow(20);
                first.verify();
            });
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }
    CHECK(gone == 120, "%d of 120 objects were destroyed with their threads\n", gone.load());
    first.grow(10);
    return 0;
}
