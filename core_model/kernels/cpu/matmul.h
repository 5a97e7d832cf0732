// Matrix products: quantized weights with activations in 8 bits. Ignores threads and what the outputs are for.
//
// A token's sum runs over the groups in order, by itself: its bits depend on no other token and on no tile.

// Bytes of weights that are asked for before they are needed, all and those that the first cache gets; measured.
#if LEVEL_VNNI
constexpr int kAhead = 4096, kNear = 512;
#else
constexpr int kAhead = 1536, kNear = kAhead;
#endif

// Activations of one token.
typedef Group* Row;

static inline void quantize(const float* x, Row row, int dim) {
    for (int g = 0; g < dim / kGroup; ++g) quantize(x + g * kGroup, row[g]);
}

// Rows of `inputs` activations, one after another in one piece of memory.
struct Rows {
    uint8_t* memory;
    int inputs;

    static size_t row_bytes(int inputs) { return inputs / kGroup * sizeof(Group); }
    Row operator[](int i) const { return reinterpret_cast<Row>(memory + i * row_bytes(inputs)); }
};

// How a block's groups lie: as in the matrix, or spread out.
template <int Bits>
struct Packed {
    static constexpr int kBytes = group_bytes(Bits), kCodes = kRows * kGroup * Bits / 8;
    static constexpr bool kIs4 = Bits == 4, kIsNear = false;

    // Codes of inputs 4 * i to 4 * i + 3, for an even i, and those of the next four.
    static Bytes first(const uint8_t* at, int i) { return kIs4 ? lower4(at + 32 * i) : load8(at + 64 * i); }
    static Bytes second(const uint8_t* at, int i) { return kIs4 ? upper4(at + 32 * i) : load8(at + 64 * i + 64); }
    static Wide factors(const uint8_t* at, int i) {  // scales, then minima
        return wide_from_half(reinterpret_cast<const uint16_t*>(at + kCodes) + kLanes * i);
    }
    static void add(Sums4& sums, const Bytes& w, const int8_t* a) { kIs4 ? add4(sums, w, a) : add8(sums, w, a); }
};

// 4 bits in a byte each and floats: for many tokens it pays to take a block apart once.
struct Spread {
    static constexpr int kCodes = kRows * kGroup, kBytes = kCodes + 2 * kRows * sizeof(float);
    static constexpr bool kIs4 = true, kIsNear = true;  // in the cache

    static Bytes first(const uint8_t* at, int i) { return plain(at + 64 * i); }
    static Bytes second(const uint8_t* at, int i) { return plain(at + 64 * i + 64); }
    static Wide factors(const uint8_t* at, int i) {
        return load_wide(reinterpret_cast<const float*>(at + kCodes) + kLanes * i);
    }
    static void add(Sums4& sums, const Bytes& w, const int8_t* a) { add4(sums, w, a); }

    static void take(const uint8_t* from, int groups, uint8_t* to) {
        for (int g = 0; g < groups; ++g, from += Packed<4>::kBytes, to += kBytes) {
            for (int i = 0; i < kGroup / 4; i += 2) {
                put(to + 64 * i, Packed<4>::first(from, i));
                put(to + 64 * i + 64, Packed<4>::second(from, i));
            }
            for (int i = 0; i < 2 * kParts; ++i) {
                store(reinterpret_cast<float*>(to + kCodes) + kLanes * i, Packed<4>::factors(from, i));
            }
        }
    }
};

// 16 outputs of a matrix.
struct Block {
    const Matrix& m;
    int index;
    const uint8_t* spread;  // its groups, spread out; or null

    // To be multiplied with `num_rows`; `memory` is `Block::bytes`.
    Block(const Matrix& matrix, int i, int num_rows, uint8_t* memory) : m(matrix), index(i), spread(nullptr) {
        if (m.bits != 4 || num_rows < kMany) return;
        Spread::take(packed(), groups(), memory);
        spread = memory;
    }
    int groups() const { return m.inputs / kGroup; }
    const uint8_t* packed() const { return m.data + size_t(index) * groups() * group_bytes(m.bits); }

    // Soon: its beginning is asked for, where nothing before it leads there.
    void announce() const {
        for (int byte = 0; byte < kAhead; byte += 64) __builtin_prefetch(packed() + byte, 0, kNear < kAhead ? 2 : 3);
    }

    static constexpr int kMany = 32;
    static size_t bytes(int inputs) { return size_t(inputs) / kGroup * Spread::kBytes; }
};

// The block's outputs for N tokens.
template <int N, class Groups>
static inline void multiply(const Block& block, const uint8_t* at, const Row* rows, Outputs* out) {
    Outputs acc[N] = {};
    const int groups = block.groups();
    for (int g = 0; g < groups; ++g, at += Groups::kBytes) {
        if (!Groups::kIsNear) {
            for (int byte = 0; byte < Groups::kBytes; byte += 64) {
                if (kNear < kAhead) __builtin_prefetch(at + kAhead + byte, 0, 2);  // into the second cache
                __builtin_prefetch(at + kNear + byte);
            }
        }
        Sums4 sums[N];
#pragma GCC unroll kTile
        for (int t = 0; t < N; ++t) sums[t] = no_sums();
#pragma GCC unroll kSteps
        for (int i = 0; i < kGroup / 4; i += 2) {
            const Bytes first = Groups::first(at, i);
#pragma GCC unroll kTile
            for (int t = 0; t < N; ++t) Groups::add(sums[t], first, rows[t][g].codes + 4 * i);
            const Bytes second = Groups::second(at, i);
#pragma GCC unroll kTile
            for (int t = 0; t < N; ++t) Groups::add(sums[t], second, rows[t][g].codes + 4 * i + 4);
        }
        Wide scales[kParts], minima[kParts];
        for (int p = 0; p < kParts; ++p) {
            scales[p] = Groups::factors(at, p);
            if (Groups::kIs4) minima[p] = Groups::factors(at, kParts + p);
        }
#pragma GCC unroll kTile
        for (int t = 0; t < N; ++t) {
            const Group& group = rows[t][g];
            const Outputs dots = Groups::kIs4 ? floats4(sums[t]) : floats8(sums[t], group);
            for (int p = 0; p < kParts; ++p) {
                acc[t].part[p] = fma(dots.part[p], scales[p] * group.scale, acc[t].part[p]);
                if (Groups::kIs4) acc[t].part[p] = fma(minima[p], all<Wide>(group.total), acc[t].part[p]);
            }
        }
    }
#pragma GCC unroll kTile
    for (int t = 0; t < N; ++t) {
        for (int p = 0; p < kParts; ++p) {
            out[t].part[p] = acc[t].part[p] * block.m.factor;
            if (block.m.bias) out[t].part[p] += load_wide(block.m.bias + block.index * kRows + p * kLanes);
        }
    }
}

template <int N>
static inline void multiply_tile(const Block& block, const Row* rows, Outputs* out) {
    if (block.spread) return multiply<N, Spread>(block, block.spread, rows, out);
    if (block.m.bits == 4) return multiply<N, Packed<4>>(block, block.packed(), rows, out);
    multiply<N, Packed<8>>(block, block.packed(), rows, out);
}

// The same for 1 to kTile tokens.
static inline void multiply(const Block& block, const Row* rows, int num, Outputs* out) {
    switch (num) {
        case 1: return multiply_tile<1>(block, rows, out);
        case 2: return multiply_tile<2>(block, rows, out);
        case 3: return multiply_tile<3>(block, rows, out);
        case 4: return multiply_tile<4>(block, rows, out);
#if LEVEL_VNNI
        case 5: return multiply_tile<5>(block, rows, out);
        case 6: return multiply_tile<6>(block, rows, out);
        case 7: return multiply_tile<7>(block, rows, out);
        default: return multiply_tile<8>(block, rows, out);
#endif
    }
}

// `use(first, num, out)` for a block's outputs of all rows, a tile at a time.
template <class At, class Use>
static inline void for_tiles(const Block& block, int num_rows, At&& at, Use&& use) {
    Row rows[kTile];
    Outputs out[kTile];
    for (int first = 0; first < num_rows; first += kTile) {
        const int num = num_rows - first < kTile ? num_rows - first : kTile;
        for (int i = 0; i < num; ++i) rows[i] = at(first + i);
        multiply(block, rows, num, out);
        use(first, num, out);
    }
}

static inline int blocks_of(const Matrix& m) { return (m.outputs + kRows - 1) / kRows; }

// Several blocks at a time, so that a thread reads on where it was; few enough that all end together.
static inline int grain_of(int blocks, const Team& team) {
    const int grain = blocks / (8 * team.size());
    return grain ? grain : 1;
}

// All outputs of all rows, by the whole team; `out` has rows of `width`, at least whole blocks. `spread` is this
// thread's memory for a block.
template <class At>
static inline void multiply_rows(Team& team, const Matrix& m, int num_rows, At&& at, float* out, size_t width,
                                 uint8_t* spread) {
    team.share(blocks_of(m), grain_of(blocks_of(m), team), [&](int begin, int end) {
        for (int block = begin; block < end; ++block) {
            for_tiles(
                Block(m, block, num_rows, spread), num_rows, at,
                [&](int first, int num, const Outputs* sums) {
                    for (int i = 0; i < num; ++i) sums[i].put(out + (first + i) * width + block * kRows);
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
        Rows::row_bytes(m.inputs) * kChunk + Block::bytes(m.inputs) * team.size(),
        [](void* given, int thread, uint8_t* memory) {
            const Job& job = *static_cast<Job*>(given);
            const Rows rows{memory, job.m.inputs};
            uint8_t* spread = memory + Rows::row_bytes(job.m.inputs) * kChunk + Block::bytes(job.m.inputs) * thread;
            for (int first = 0; first < job.num_rows; first += kChunk) {
                const int num = job.num_rows - first < kChunk ? job.num_rows - first : kChunk;
                job.team.share(num, 1, [&](int begin, int end) {
                    for (int t = begin; t < end; ++t) {
                        quantize(job.x + (first + t) * size_t(job.m.inputs), rows[t], job.m.inputs);
                    }
                });
                multiply_rows(
                    job.team, job.m, num, [&](int t) { return rows[t]; }, job.out + first * job.width, job.width,
                    spread);
            }
        },
        &job);
}
