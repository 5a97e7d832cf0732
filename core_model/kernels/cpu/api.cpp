// What Python calls: a C interface that hands out handles and never throws. Ignores how anything is computed.
//
// Python checks types, shapes and ranges before it comes here; what could still make a kernel reach beyond its memory
// is checked again, since a wrong number would crash the process or, worse, would not.
#include <new>
#include <vector>

#include "kernels.h"

namespace {

// In rising order; a level's index is its name's in `core_model/kernels/library.py`.
const Kernels* at_level(int level) {
    switch (level) {
        case 0: return portable_kernels();
        case 1: return avx2_kernels();
        case 2: return vnni_kernels();
        default: return nullptr;
    }
}

bool runs_here(int level) {
    if (level == 0) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (level == 1) return avx2;
    return level == 2 && avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

struct Engine {
    const Kernels* kernels;
    Team team;
};

bool is_matrix(const Matrix& m) {
    return m.data && (m.bits == 4 || m.bits == 8) && m.outputs > 0 && m.inputs > 0 && m.inputs % kGroup == 0;
}

bool fits(const Model& m, const Call& call) {
    if (call.num_segments < 1 || call.num_tokens < 1 || m.kv_heads < 1 || m.heads % m.kv_heads) return false;
    if (call.page_size < 8 || call.page_size % 8 || m.rotary > m.head_dim) return false;
    int tokens = 0;
    for (int i = 0; i < call.num_segments; ++i) {
        const Segment& s = call.segments[i];
        const int64_t end = int64_t(s.start) + s.num_tokens;
        if (s.start < 0 || s.num_tokens < 1 || end > m.positions) return false;
        if (end > int64_t(s.num_pages) * call.page_size) return false;
        for (int p = 0; p < s.num_pages; ++p) {
            if (s.pages[p] < 0 || (int64_t(s.pages[p]) + 1) * call.page_size > call.slots) return false;
        }
        tokens += s.num_tokens;
        if (tokens > call.num_tokens) return false;
    }
    return tokens == call.num_tokens;
}

// Chunks as full as they go; a tile ends where its sequence or its chunk does.
void plan(const Call& call, std::vector<Tile>& tiles, std::vector<Chunk>& chunks) {
    std::vector<int> first_tiles;
    for (int i = 0, token = 0; i < call.num_segments; ++i) {
        const Segment& segment = call.segments[i];
        for (int done = 0; done < segment.num_tokens;) {
            if (token % kChunk == 0) {
                const int left = call.num_tokens - token;
                chunks.push_back({nullptr, 0, token, left < kChunk ? left : kChunk, true});
                first_tiles.push_back(int(tiles.size()));
            }
            const int left = segment.num_tokens - done, room = kChunk - token % kChunk;
            int num = left < room ? left : room;
            if (num > kQueries) num = kQueries;
            tiles.push_back({i, token, num, segment.start + done});
            Chunk& chunk = chunks.back();
            if (chunk.num_tiles++ && tiles[tiles.size() - 2].segment == i) chunk.is_apart = false;
            token += num, done += num;
        }
    }
    for (size_t i = 0; i < chunks.size(); ++i) chunks[i].tiles = tiles.data() + first_tiles[i];
}

}  // namespace

enum Result { kDone = 0, kDoesNotFit = 1, kNoMemory = 2 };

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int trivium_version() { return 1; }

// The best level that this machine runs.
EXPORT int trivium_best_level() {
    for (int level = 2; level > 0; --level) {
        if (at_level(level) && runs_here(level)) return level;
    }
    return 0;
}

// Null: the machine does not run that level, or has no memory or threads left.
EXPORT void* trivium_open(int level, int num_threads) {
    const Kernels* kernels = runs_here(level) ? at_level(level) : nullptr;
    if (!kernels || num_threads < 1) return nullptr;
    try {
        return new Engine{kernels, Team(num_threads)};
    } catch (...) {
        return nullptr;
    }
}

EXPORT void trivium_close(void* engine) { delete static_cast<Engine*>(engine); }

EXPORT int trivium_call(void* engine, const Model* model, const Call* call) {
    if (!fits(*model, *call)) return kDoesNotFit;
    try {
        std::vector<Tile> tiles;
        std::vector<Chunk> chunks;
        plan(*call, tiles, chunks);
        Engine& e = *static_cast<Engine*>(engine);
        e.kernels->call(*model, *call, {chunks.data(), int(chunks.size())}, e.team);
        return kDone;
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    }
}

// x (rows, inputs), out (rows, width): width is a multiple of 16 and at least the outputs.
EXPORT int trivium_linear(void* engine, const Matrix* m, const float* x, int num_rows, float* out, int64_t width) {
    if (!is_matrix(*m) || num_rows < 1 || width % kRows || width < m->outputs) return kDoesNotFit;
    try {
        Engine& e = *static_cast<Engine*>(engine);
        e.kernels->linear(*m, x, num_rows, out, size_t(width), e.team);
        return kDone;
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    }
}
