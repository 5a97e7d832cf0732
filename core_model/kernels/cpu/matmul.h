// Matrix products: quantized weights with activations in 8 bits. Ignores threads and what the outputs are for.
//
// A token's sum runs over the groups in order, by itself: its bits depend on no other token and on no tile.

constexpr int kAhead = 1536;  // bytes of weights that are asked for before they are needed; measured

// Activations of one token in 8 bits: codes, then a scale and a sum for each group.
struct Row {
    int8_t* codes;
    float *scales, *totals;

    void quantize(const float* x, int group) const {  // 32 floats
        quantize_group(x, codes + group * kGroup, scales + group, totals + group);
    }
};

static inline void quantize(const float* x, const Row& row, int dim) {
    for (int g = 0; g < dim / kGroup; ++g) row.quantize(x + g * kGroup, g);
}

// Rows of `inputs` activations, one after another in one piece of memory.
struct Rows {
    uint8_t* memory;
    int inputs;

    static size_t row_bytes(int inputs) { return size_t(inputs) + inputs / kGroup * 2 * sizeof(float); }
    Row operator[](int i) const {
        uint8_t* row = memory + i * row_bytes(inputs);
        float* scales = reinterpret_cast<float*>(row + inputs);
        return {reinterpret_cast<int8_t*>(row), scales, scales + inputs / kGroup};
    }
};

// Outputs 16 * block to 16 * block + 15 for N tokens.
template <int N, int Bits>
static inline void multiply(const Matrix& m, int block, const Row* rows, Pair* out) {
    const int groups = m.inputs / kGroup;
    constexpr int kCodes = kRows * kGroup * Bits / 8;
    const uint8_t* at = m.data + size_t(block) * groups * group_bytes(Bits);
    Pair acc[N];
    for (int t = 0; t < N; ++t) acc[t] = {all(0.0f), all(0.0f)};
    for (int g = 0; g < groups; ++g, at += group_bytes(Bits)) {
        for (int byte = 0; byte < group_bytes(Bits); byte += 64) __builtin_prefetch(at + kAhead + byte);
        Sums4 sums[N];
        const int8_t* codes[N];
        for (int t = 0; t < N; ++t) sums[t] = no_sums(), codes[t] = rows[t].codes + g * kGroup;
#pragma GCC unroll 1  // more would not fit the registers
        for (int i = 0; i < kGroup / 4; i += 2) {
            const uint8_t* p = at + i * (Bits == 4 ? 32 : 64);
            const Bytes first = Bits == 4 ? lower4(p) : load8(p);
            for (int t = 0; t < N; ++t) {
                Bits == 4 ? add4(sums[t], first, codes[t] + 4 * i) : add8(sums[t], first, codes[t] + 4 * i);
            }
            const Bytes second = Bits == 4 ? upper4(p) : load8(p + 64);
            for (int t = 0; t < N; ++t) {
                Bits == 4 ? add4(sums[t], second, codes[t] + 4 * i + 4) : add8(sums[t], second, codes[t] + 4 * i + 4);
            }
        }
        const uint16_t* halves = reinterpret_cast<const uint16_t*>(at + kCodes);
        const F8 low = from_half(halves), high = from_half(halves + 8);
        F8 low_min, high_min;
        if (Bits == 4) low_min = from_half(halves + 16), high_min = from_half(halves + 24);
        for (int t = 0; t < N; ++t) {
            const Pair dots = Bits == 4 ? floats4(sums[t]) : floats8(sums[t], codes[t]);
            const F8 scale = all(rows[t].scales[g]);
            acc[t].low = fma8(dots.low, low * scale, acc[t].low);
            acc[t].high = fma8(dots.high, high * scale, acc[t].high);
            if (Bits == 4) {
                const F8 total = all(rows[t].totals[g]);
                acc[t].low = fma8(low_min, total, acc[t].low);
                acc[t].high = fma8(high_min, total, acc[t].high);
            }
        }
    }
    const F8 factor = all(m.factor);
    for (int t = 0; t < N; ++t) {
        out[t] = {acc[t].low * factor, acc[t].high * factor};
        if (m.bias) {
            out[t].low = out[t].low + load(m.bias + block * kRows);
            out[t].high = out[t].high + load(m.bias + block * kRows + 8);
        }
    }
}

template <int N>
static inline void multiply_tile(const Matrix& m, int block, const Row* rows, Pair* out) {
    if (m.bits == 4) {
        multiply<N, 4>(m, block, rows, out);
    } else {
        multiply<N, 8>(m, block, rows, out);
    }
}

// The same for 1 to kTile tokens.
static inline void multiply(const Matrix& m, int block, const Row* rows, int num, Pair* out) {
    switch (num) {
        case 1: return multiply_tile<1>(m, block, rows, out);
        case 2: return multiply_tile<2>(m, block, rows, out);
        case 3: return multiply_tile<3>(m, block, rows, out);
        case 4: return multiply_tile<4>(m, block, rows, out);
#if LEVEL_VNNI
        case 5: return multiply_tile<5>(m, block, rows, out);
        case 6: return multiply_tile<6>(m, block, rows, out);
        case 7: return multiply_tile<7>(m, block, rows, out);
        default: return multiply_tile<8>(m, block, rows, out);
#endif
    }
}

// `use(first, num, out)` for a block's outputs of all rows, a tile at a time.
template <class At, class Use>
static inline void for_tiles(const Matrix& m, int block, int num_rows, At&& at, Use&& use) {
    Row rows[kTile];
    Pair out[kTile];
    for (int first = 0; first < num_rows; first += kTile) {
        const int num = num_rows - first < kTile ? num_rows - first : kTile;
        for (int i = 0; i < num; ++i) rows[i] = at(first + i);
        multiply(m, block, rows, num, out);
        use(first, num, out);
    }
}

static inline int blocks_of(const Matrix& m) { return (m.outputs + kRows - 1) / kRows; }

// Several blocks at a time, so that a thread reads on where it was; few enough that all end together.
static inline int grain_of(int blocks, const Team& team) {
    const int grain = blocks / (8 * team.size());
    return grain ? grain : 1;
}

// All outputs of all rows, by the whole team; `out` has rows of `width`, at least whole blocks.
template <class At>
static inline void multiply_rows(Team& team, const Matrix& m, int num_rows, At&& at, float* out, size_t width) {
    team.share(blocks_of(m), grain_of(blocks_of(m), team), [&](int begin, int end) {
        for (int block = begin; block < end; ++block) {
            for_tiles(
                m, block, num_rows, at,
                [&](int first, int num, const Pair* sums) {
                    for (int i = 0; i < num; ++i) {
                        float* to = out + (first + i) * width + block * kRows;
                        store(to, sums[i].low);
                        store(to + 8, sums[i].high);
                    }
                });
        }
    });
}

static void run_linear(const Matrix& m, const float* x, int num_rows, float* out, size_t width, Team& team) {
    struct Job {
        const Matrix& m;
        const float* x;
        int num_rows;
        float* out;
        size_t width;
        Team& team;
    } job{m, x, num_rows, out, width, team};
    team.run(
        Rows::row_bytes(m.inputs) * kChunk,
        [](void* given, int, uint8_t* memory) {
            const Job& job = *static_cast<Job*>(given);
            const Rows rows{memory, job.m.inputs};
            for (int first = 0; first < job.num_rows; first += kChunk) {
                const int num = job.num_rows - first < kChunk ? job.num_rows - first : kChunk;
                job.team.share(num, 1, [&](int begin, int end) {
                    for (int t = begin; t < end; ++t) {
                        quantize(job.x + (first + t) * size_t(job.m.inputs), rows[t], job.m.inputs);
                    }
                });
                multiply_rows(job.team, job.m, num, [&](int t) { return rows[t]; }, job.out + first * job.width, job.width);
            }
        },
        &job);
}
