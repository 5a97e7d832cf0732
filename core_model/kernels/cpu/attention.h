// Grouped-query attention over a paged cache of half floats. Ignores projections and positions' rotation.
//
// A tile is up to 16 tokens of one sequence. For each key-value head their queries go through the context in blocks of
// 64 tokens, with a running softmax (Milakov and Gimelshein 2018, arXiv:1805.02867). A block's keys are transposed, so
// that scores are sums of weighted rows just as results are: nothing is added up across a register. A query's sums run
// over the blocks in order, up to its own position, so its bits do not depend on the tile.

constexpr int kBlock = 64;

static inline int padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// What one thread needs: a block's keys, (R, 64), and values, (64, padded R), as floats, and each query with its state.
struct AttentionScratch {
    float *keys, *values, *queries, *sums, *total, *most;  // `total` in eight parts

    static size_t floats(const Model& m) {
        const int width = padded(m.head_dim), rows = kQueries * (m.heads / m.kv_heads);
        return size_t(2 * kBlock + 2 * rows) * width + 9 * rows;
    }
    AttentionScratch(float* memory, const Model& m) {
        const int width = padded(m.head_dim), rows = kQueries * (m.heads / m.kv_heads);
        keys = memory, values = keys + kBlock * width, queries = values + kBlock * width;
        sums = queries + rows * width, total = sums + rows * width, most = total + 8 * rows;
    }
};

// Eight halves, or the first `count` of them and zeros.
static inline F8 load_halves(const uint16_t* p, int count) {
    if (count >= 8) return from_half(p);
    uint16_t halves[8] = {};
    for (int i = 0; i < count; ++i) halves[i] = p[i];
    return from_half(halves);
}

static inline void transpose(F8* x) {  // 8 x 8
#if LEVEL_AVX2
    F8 pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = (F8)_mm256_unpacklo_ps(x[i], x[i + 1]);
        pairs[i + 1] = (F8)_mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; ++k) {
            fours[i + 2 * k] = (F8)_mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0x44);
            fours[i + 2 * k + 1] = (F8)_mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0xee);
        }
    }
    for (int i = 0; i < 4; ++i) {
        x[i] = (F8)_mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        x[i + 4] = (F8)_mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
#else
    for (int i = 0; i < 8; ++i) {
        for (int k = 0; k < i; ++k) {
            const float kept = x[i][k];
            x[i][k] = x[k][i], x[k][i] = kept;
        }
    }
#endif
}

// Keys and values of eight neighbouring tokens, (8, dim) each, to columns of `keys` and rows of `values`.
static inline void take_eight(const uint16_t* k, const uint16_t* v, int dim, float* keys, float* values) {
    const int width = padded(dim);
    for (int d = 0; d < width; d += 8) {
        F8 x[8];
        for (int t = 0; t < 8; ++t) {
            x[t] = load_halves(k + t * dim + d, dim - d);
            store(values + t * width + d, load_halves(v + t * dim + d, dim - d));
        }
        transpose(x);
        for (int i = 0; i < 8; ++i) store(keys + (d + i) * kBlock, x[i]);
    }
}

// Queries that go through a block together, and registers of sums for each: what there are registers for.
#if LEVEL_VNNI
constexpr int kAbreast = 4, kVectors = 4;
#else
constexpr int kAbreast = 1, kVectors = 8;
#endif

// For each of Q queries: to = factor * to + the sum of `count` rows, each times the query's weight for it; N vectors.
// A query's weights and `to` begin `apart` floats after those of the one before.
template <int Q, int N>
static void combine(const float* weights, int weights_apart, const float* rows, int count, int stride,
                    const float* factors, float* to, int to_apart) {
    Wide acc[Q][N];
#pragma GCC unroll kAbreast
    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll kVectors
        for (int i = 0; i < N; ++i) acc[q][i] = load_wide(to + q * to_apart + kLanes * i) * factors[q];
    }
    for (int t = 0; t < count; ++t, rows += stride) {
#pragma GCC unroll kAbreast
        for (int q = 0; q < Q; ++q) {
            const Wide weight = all<Wide>(weights[q * weights_apart + t]);
#pragma GCC unroll kVectors
            for (int i = 0; i < N; ++i) acc[q][i] = fma(weight, load_wide(rows + kLanes * i), acc[q][i]);
        }
    }
#pragma GCC unroll kAbreast
    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll kVectors
        for (int i = 0; i < N; ++i) store(to + q * to_apart + kLanes * i, acc[q][i]);
    }
}

// The same for any number of `vectors`.
template <int Q>
static inline void combine(int vectors, const float* weights, int weights_apart, const float* rows, int count,
                           int stride, const float* factors, float* to, int to_apart) {
    for (; vectors >= kVectors; vectors -= kVectors, rows += kVectors * kLanes, to += kVectors * kLanes) {
        combine<Q, kVectors>(weights, weights_apart, rows, count, stride, factors, to, to_apart);
    }
    for (; vectors >= 2; vectors -= 2, rows += 2 * kLanes, to += 2 * kLanes) {
        combine<Q, 2>(weights, weights_apart, rows, count, stride, factors, to, to_apart);
    }
    if (vectors) combine<Q, 1>(weights, weights_apart, rows, count, stride, factors, to, to_apart);
}

// Q queries, from `row`, on the first `count` tokens of a block.
template <int Q>
static void attend_block(const AttentionScratch& s, int row, int count, int dim) {
    const int width = padded(dim), seen = padded(count);
    float shares[Q * kBlock] = {}, factors[Q];
    for (int q = 0; q < Q; ++q) factors[q] = 1.0f;
    combine<Q>(seen / kLanes, s.queries + row * width, width, s.keys, dim, kBlock, factors, shares, kBlock);
    for (int q = 0; q < Q; ++q) {
        float *own = shares + q * kBlock, *parts = s.total + 8 * (row + q);
        for (int t = count; t < seen; ++t) own[t] = -__builtin_inff();
        const float before = s.most[row + q];
        Wide highest = all<Wide>(before);
        for (int t = 0; t < seen; t += kLanes) highest = max(highest, load_wide(own + t));
        const float most = largest(highest);
        factors[q] = most > before ? exp(all<F8>(before - most))[0] : 1.0f;
        F8 total = load(parts) * factors[q];
        for (int t = 0; t < seen; t += kLanes) store(own + t, exp(load_wide(own + t) - most));
        for (int t = 0; t < seen; t += 8) total = total + load(own + t);
        s.most[row + q] = most;
        store(parts, total);
    }
    combine<Q>(width / kLanes, shares, kBlock, s.values, count, width, factors, s.sums + row * width, width);
}

// Queries (tokens of `tile`, heads of `kv_head`) from `q`, rows of `stride`, rotated; results to `out`, rows of H * R.
static inline void attend(const Model& m, const Call& call, const Tile& tile, int kv_head, const uint16_t* cache,
                          const float* q, int stride, float* out, const AttentionScratch& s) {
    const int dim = m.head_dim, width = padded(dim), shared = m.heads / m.kv_heads, rows = tile.num * shared;
    const Segment& segment = call.segments[tile.segment];
    for (int row = 0; row < rows; ++row) {
        const float* query = q + (row / shared) * size_t(stride) + (kv_head * shared + row % shared) * dim;
        for (int d = 0; d < dim; ++d) s.queries[row * width + d] = query[d] * m.score_scale;
        for (int d = 0; d < width; ++d) s.sums[row * width + d] = 0.0f;
        store(s.total + 8 * row, F8{});
        s.most[row] = -__builtin_inff();
    }
    const size_t head_size = size_t(call.slots) * dim;
    const uint16_t *keys = cache + kv_head * head_size, *values = keys + m.kv_heads * head_size;
    const int end = tile.start + tile.num;
    for (int first = 0; first < end; first += kBlock) {
        const int count = end - first < kBlock ? end - first : kBlock;
        for (int t = 0; t < count; t += 8) {  // eight are never of two pages
            const int at = first + t;
            const size_t slot = size_t(segment.pages[at / call.page_size]) * call.page_size + at % call.page_size;
            take_eight(keys + slot * dim, values + slot * dim, dim, s.keys + t, s.values + t * width);
        }
        const auto seen_by = [&](int row) {
            const int seen = tile.start + row / shared + 1 - first;
            return seen < count ? seen : count;
        };
        for (int row = 0, num; row < rows; row += num) {
            const int seen = seen_by(row);
            num = 1;
            while (num < kAbreast && row + num < rows && seen_by(row + num) == seen) ++num;
            if (seen <= 0) continue;
            switch (num) {
#if LEVEL_VNNI
                case 4: attend_block<4>(s, row, seen, dim); break;
                case 3: attend_block<3>(s, row, seen, dim); break;
                case 2: attend_block<2>(s, row, seen, dim); break;
#endif
                default: attend_block<1>(s, row, seen, dim);
            }
        }
    }
    for (int row = 0; row < rows; ++row) {
        float* to = out + (row / shared) * size_t(m.heads * dim) + (kv_head * shared + row % shared) * dim;
        const float inverse = 1.0f / sum(load(s.total + 8 * row));
        for (int d = 0; d < dim; ++d) to[d] = s.sums[row * width + d] * inverse;
    }
}
