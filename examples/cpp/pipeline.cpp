// Counts the prime factors of the numbers below a limit: one thread makes batches, two work on them, the main thread
// gathers the results. Every batch is allocated by one thread and freed by another.
//
// An ordinary C++ program: operator new and delete are aloof's because it is linked with aloof. With --stats it also
// asks aloof, through its own header, what that took.
#include <aloof.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <queue>
#include <string>
#include <thread>
#include <vector>

template <typename T> class Channel {
public:
    void send(T value)
    {
        std::lock_guard<std::mutex> guard(mutex_);
        queue_.push(std::move(value));
        ready_.notify_one();
    }

    void close()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        closed_ = true;
        ready_.notify_all();
    }

    // False when the channel is closed and empty.
    bool receive(T &value)
    {
        std::unique_lock<std::mutex> guard(mutex_);
        ready_.wait(guard, [this] { return closed_ || !queue_.empty(); });
        if (queue_.empty()) {
            return false;
        }
        value = std::move(queue_.front());
        queue_.pop();
        return true;
    }

private:
    std::mutex mutex_;
    std::condition_variable ready_;
    std::queue<T> queue_;
    bool closed_ = false;
};

using Batch = std::unique_ptr<std::vector<unsigned>>;
using Counts = std::unique_ptr<std::map<unsigned, unsigned long>>;

static Counts factors(const Batch &batch)
{
    auto counts = std::make_unique<std::map<unsigned, unsigned long>>();
    for (unsigned number : *batch) {
        for (unsigned factor = 2; factor * factor <= number; factor++) {
            for (; number % factor == 0; number /= factor) {
                (*counts)[factor]++;
            }
        }
        if (number > 1) {
            (*counts)[number]++;
        }
    }
    return counts;
}

static unsigned long run(unsigned limit)
{
    Channel<Batch> work;
    Channel<Counts> results;
    std::vector<std::thread> workers;
    for (int i = 0; i < 2; i++) {
        workers.emplace_back([&] {
            for (Batch batch; work.receive(batch);) {
                results.send(factors(batch));
            }
        });
    }
    std::thread maker([&] {
        for (unsigned first = 2; first < limit; first += 1000) {
            auto batch = std::make_unique<std::vector<unsigned>>();
            for (unsigned number = first; number < limit && number < first + 1000; number++) {
                batch->push_back(number);
            }
            work.send(std::move(batch));
        }
        work.close();
    });
    std::thread closer([&] {
        maker.join();
        for (auto &worker : workers) {
            worker.join();
        }
        results.close();
    });
    std::map<unsigned, unsigned long> total;
    for (Counts counts; results.receive(counts);) {
        for (auto &entry : *counts) {
            total[entry.first] += entry.second;
        }
    }
    closer.join();
    unsigned long sum = 0;
    for (auto &entry : total) {
        sum += entry.second;
    }
    return sum;
}

int main(int argc, char **argv)
{
    const unsigned limit = 100000;
    std::printf("numbers below %u have %lu prime factors in all\n", limit, run(limit));
    try {
        std::vector<char> more_than_there_is(static_cast<std::size_t>(1) << 62);
        std::puts("a vector of 4 EiB fits");
    } catch (const std::bad_alloc &) {
        std::puts("a vector of 4 EiB does not fit");
    }
    if (argc > 1 && std::string(argv[1]) == "--stats") {
        aloof_stats_t stats;
        aloof_stats(&stats, sizeof stats);
        std::printf("aloof %s: %llu bytes live, %llu bytes committed\n", aloof_version(),
                    static_cast<unsigned long long>(stats.live_bytes),
                    static_cast<unsigned long long>(stats.committed_bytes));
    }
    return 0;
}
