#include "parts.hpp"

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

template <typename T>
class Channel {
public:
    void send(T value)
    {
        {
            std::lock_guard guard(mutex);
            items.push(std::move(value));
        }
        ready.notify_one();
    }

    T receive()
    {
        std::unique_lock lock(mutex);
        ready.wait(lock, [this] { return !items.empty(); });
        T value = std::move(items.front());
        items.pop();
        return value;
    }

private:
    std::mutex mutex;
    std::condition_variable ready;
    std::queue<T> items;
};

struct alignas(128) Wide {
    std::vector<int> numbers;
};

} // namespace

std::string threads()
{
    // Strings made by two threads and freed by two others.
    Channel<std::unique_ptr<std::string>> channel;
    std::atomic<std::size_t> bytes = 0;
    std::vector<std::thread> crew;
    for (int maker = 0; maker < 2; maker++)
        crew.emplace_back([&channel, maker] {
            for (std::size_t i = 0; i < 20000; i++)
                channel.send(std::make_unique<std::string>(i % 500 + static_cast<std::size_t>(maker), 'm'));
            channel.send(nullptr);
        });
    for (int taker = 0; taker < 2; taker++)
        crew.emplace_back([&channel, &bytes] {
            while (auto item = channel.receive())
                bytes += item->size();
        });
    for (auto &thread : crew)
        thread.join();

    std::vector<std::future<std::size_t>> futures;
    for (std::size_t n = 0; n < 40; n++)
        futures.push_back(std::async(std::launch::async, [n] {
            std::vector<std::unique_ptr<Wide>> wide;
            for (std::size_t i = 0; i < 200; i++)
                wide.push_back(std::make_unique<Wide>(Wide{std::vector<int>(n + i, 1)}));
            if (n % 10 == 9)
                throw std::runtime_error("tenth " + std::to_string(n));
            return wide.size() + wide.back()->numbers.size() + reinterpret_cast<std::uintptr_t>(wide[0].get()) % 128;
        }));
    std::string out = std::to_string(bytes) + '\n';
    for (auto &future : futures) {
        try {
            out += std::to_string(future.get()) + ' ';
        } catch (const std::runtime_error &error) {
            out += std::string(error.what()) + ' ';
        }
    }
    return out + '\n';
}
