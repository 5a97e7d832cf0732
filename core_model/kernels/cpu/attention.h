// Grouped-query attention over a paged cache of half floats. Ignores projections and positions' rotation.
//
// A tile is up to 16 tokens of one sequence. For each key-value head their queries go through the context in blocks of
// 64 tokens, with a running softmax (Milakov and Gimelshein 2018, arXiv:1805.02867). A block's keys are transposed, so
// that scores are sums of weighted rows just as results are: nothing is added up across a register. A query's sums run
// over the blocks in order, up to its own position, so its bits do not depend on the tile.

constexpr int kBlock = 64;

static inline int padded(int count) { return (count + 7) / 8 * 8; }

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
    __builtin_memcpy(halves, p, count * sizeof *halves);
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
    for (int d = 0; d < dim; d += 8) {
        F8 x[8];
        for (int t = 0; t < 8; ++t) {
            x[t] = load_halves(k + t * dim + d, dim - d);
            store(values + t * width + d, load_halves(v + t * dim + d, dim - d));
        }
        transpose(x);
        for (int i = 0; i < 8; ++i) store(keys + (d + i) * kBlock, x[i]);
    }
}

// to = factor * to + the sum of `count` rows, each times its weight; N vectors of 8.
template <int N>
static void combine(const float* weights, const float* rows, int count, int stride, float factor, float* to) {
    F8 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = load(to + 8 * i) * factor;
    for (int t = 0; t < count; ++t, rows += stride) {
        const F8 weight = all(weights[t]);
        for (int i = 0; i < N; ++i) acc[i] = fma8(weight, load(rows + 8 * i), acc[i]);
    }
    for (int i = 0; i < N; ++i) store(to + 8 * i, acc[i]);
}

// The same for any number of `vectors`: as many at a time as there are registers for their sums.
static inline void combine(int vectors, const float* weights, const float* rows, int count, int stride, float factor,
                           float* to) {
    for (; vectors >= 8; vectors -= 8, rows += 64, to += 64) combine<8>(weights, rows, count, stride, factor, to);
    for (; vectors >= 2; vectors -= 2, rows += 16, to += 16) combine<2>(weights, rows, count, stride, factor, to);
    if (vectors) combine<1>(weights, rows, count, stride, factor, to);
}

// One query on the first `count` tokens of a block.
static inline void attend_block(const AttentionScratch& s, int row, int count, int dim) {
    const int width = padded(dim), seen = padded(count);
    float shares[kBlock], *parts = s.total + 8 * row;
    for (int t = 0; t < seen; t += 8) store(shares + t, all(0.0f));
    combine(seen / 8, s.queries + row * width, s.keys, dim, kBlock, 1.0f, shares);
    for (int t = count; t < seen; ++t) shares[t] = -__builtin_inff();
    const float before = s.most[row];
    F8 highest = all(before);
    for (int t = 0; t < seen; t += 8) highest = max8(highest, load(shares + t));
    const float most = largest(highest), factor = most > before ? exp8(all(before - most))[0] : 1.0f;
    F8 total = load(parts) * factor;
    for (int t = 0; t < seen; t += 8) {
        const F8 share = exp8(load(shares + t) - most);
        store(shares + t, share);
        total = total + share;
    }
    s.most[row] = most;
    store(parts, total);
    combine(width / 8, shares, s.values, count, width, factor, s.sums + row * width);
}

// Queries (tokens of `tile`, heads of `kv_head`) from `q`, rows of `stride`, rotated; results to `out`, rows of H * R.
static inline void attend(const Model& m, const Call& call, const Tile& tile, int kv_head, const uint16_t* cache,
                          const float* q, int stride, float* out, const AttentionScratch& s) {
    const int dim = m.head_dim, width = padded(dim), shared = m.heads / m.kv_heads, rows = tile.num * shared;
    const Segment& segment = call.segments[tile.segment];
    for (int row = 0; row < rows; ++row) {
        const float* query = q + (row / shared) * size_t(stride) + (kv_head * shared + row % shared) * dim;
        for (int d = 0; d < dim; ++d) s.queries[row * width + d] = query[d] * m.score_scale;
        for (int d = 0; d < width; d += 8) store(s.sums + row * width + d, all(0.0f));
        store(s.total + 8 * row, all(0.0f));
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
        for (int row = 0; row < rows; ++row) {
            const int seen = tile.start + row / shared + 1 - first;
            if (seen > 0) attend_block(s, row, seen < count ? seen : count, dim);
        }
    }
    for (int row = 0; row < rows; ++row) {
        float* to = out + (row / shared) * size_t(m.heads * dim) + (kv_head * shared + row % shared) * dim;
        const float inverse = 1.0f / sum(load(s.total + 8 * row));
        for (int d = 0; d < dim; ++d) to[d] = s.sums[row * width + d] * inverse;
    }
}
