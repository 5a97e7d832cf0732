#include "team.h"

#include <chrono>

namespace {

constexpr int kSpins = 512;  // some microseconds, before others get the core
constexpr auto kAwake = std::chrono::milliseconds(1);

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Holds>
void spin_until(Holds&& holds) {
    for (int i = 0; !holds(); ++i) {
        if (i < kSpins) {
            pause();
        } else {
            std::this_thread::yield();
        }
    }
}

}  // namespace

Team::Team(int num_threads) : size_(num_threads) {
    for (int i = 1; i < size_; ++i) threads_.emplace_back([this, i] { serve(i); });
}

Team::~Team() {
    {
        std::lock_guard<std::mutex> lock(sleep_);
        ends_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void Team::run(size_t bytes, Job job, void* given) {
    std::lock_guard<std::mutex> one_at_a_time(caller_);
    if (memory_.size() < bytes + 64) memory_.resize(bytes + 64);
    next_.store(0, std::memory_order_relaxed);
    if (size_ > 1) {
        {
            std::lock_guard<std::mutex> lock(sleep_);
            job_ = job, given_ = given;
            started_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
    }
    job(given, 0, memory());
    barrier();  // nobody is in the job any more: it may go
}

void Team::barrier() {
    if (size_ == 1) {
        next_.store(0, std::memory_order_relaxed);
        return;
    }
    const unsigned before = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        next_.store(0, std::memory_order_relaxed);
        generation_.store(before + 1, std::memory_order_release);
    } else {
        spin_until([&] { return generation_.load(std::memory_order_acquire) != before; });
    }
}

void Team::serve(int thread) {
    for (unsigned seen = 0; wait_for_job(seen); ++seen) {
        job_(given_, thread, memory());
        barrier();
    }
}

bool Team::wait_for_job(unsigned seen) {
    const auto until = std::chrono::steady_clock::now() + kAwake;
    bool is_late = false;
    spin_until([&] {
        if (started_.load(std::memory_order_acquire) != seen || ends_) return true;
        return is_late = std::chrono::steady_clock::now() > until;
    });
    if (is_late) {
        std::unique_lock<std::mutex> lock(sleep_);
        wake_.wait(lock, [&] { return started_.load(std::memory_order_acquire) != seen || ends_; });
    }
    return !ends_;
}

uint8_t* Team::memory() {  // at a cache line
    return memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64);
}
