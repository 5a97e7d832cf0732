// Threads that work on one job together, phase by phase. Ignores what the job is.
//
// A job is one function that every thread runs; `share` deals out a phase's items and ends it with a barrier. Threads
// spin for work for about a millisecond, so that the next step finds them awake, and sleep then: an idle server
// uses no CPU. Who waits lets others run (`yield`), so that a busy machine gets slower and not stuck.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

class Team {
public:
    explicit Team(int num_threads);
    ~Team();
    int size() const { return size_; }

    // Run `job(given, thread, memory)` on all threads, the caller as thread 0, with `bytes` of memory for all of them
    // together. Jobs of different callers wait for each other. Throws std::bad_alloc.
    using Job = void (*)(void* given, int thread, uint8_t* memory);
    void run(size_t bytes, Job job, void* given);

    // Within a job, by all threads alike: `body(begin, end)` for parts of 0 to `count`, then wait for all.
    template <class Body>
    void share(int count, int grain, Body&& body) {
        for (int i; (i = next_.fetch_add(grain, std::memory_order_relaxed)) < count;) {
            body(i, i + grain < count ? i + grain : count);
        }
        barrier();
    }

    void barrier();

private:
    void serve(int thread);
    bool wait_for_job(unsigned seen);
    uint8_t* memory();

    const int size_;
    std::mutex caller_, sleep_;
    std::condition_variable wake_;
    Job job_ = nullptr;
    void* given_ = nullptr;
    std::vector<uint8_t> memory_;
    std::atomic<unsigned> started_{0}, generation_{0};
    std::atomic<int> arrived_{0}, next_{0};
    std::atomic<bool> ends_{false};
    std::vector<std::thread> threads_;
};
