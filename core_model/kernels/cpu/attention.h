// Grouped-query attention over a paged cache of half floats. Ignores projections and positions' rotation.
//
// A tile is up to 16 tokens of one sequence. For each key-value head their queries go through the context page by page,
// with a running softmax (Milakov and Gimelshein 2018, arXiv:1805.02867). A query's sums run over the pages in order,
// up to its own position, so its bits do not depend on the tile.

static inline int padded(int head_dim) { return (head_dim + 7) / 8 * 8; }

// What one thread needs: a page of keys and values as floats, and each query with its state.
struct AttentionScratch {
    float *keys, *values, *queries, *sums, *most, *total;

    static size_t floats(const Model& m) {
        const int width = padded(m.head_dim), rows = kQueries * (m.heads / m.kv_heads);
        return size_t(2 * kMaxPage + 2 * rows) * width + 2 * rows;
    }
    AttentionScratch(float* memory, const Model& m) {
        const int width = padded(m.head_dim), rows = kQueries * (m.heads / m.kv_heads);
        keys = memory, values = keys + kMaxPage * width, queries = values + kMaxPage * width;
        sums = queries + rows * width, most = sums + rows * width, total = most + rows;
    }
};

// Eight sums at once: lane i is that of the i-th vector.
static inline F8 sums(const F8* x) {
#if LEVEL_AVX2
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
    return (F8)_mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
#else
    F8 result;
    for (int i = 0; i < 8; ++i) result[i] = sum(x[i]);
    return result;
#endif
}

static inline void widen(const uint16_t* halves, int count, int dim, float* out) {
    const int width = padded(dim), whole = dim / 8 * 8;
    for (int t = 0; t < count; ++t, halves += dim, out += width) {
        for (int d = 0; d < whole; d += 8) store(out + d, from_half(halves + d));
        if (whole < dim) {
            uint16_t rest[8] = {};
            __builtin_memcpy(rest, halves + whole, (dim - whole) * sizeof *rest);
            store(out + whole, from_half(rest));
        }
    }
}

// scores of one query with the first `count` keys; those up to the next multiple of 8 become -inf.
static inline F8 score(const float* query, const float* keys, int count, int width, float* scores) {
    F8 most = all(-__builtin_inff());
    for (int t = 0; t < count; t += 8, keys += 8 * width) {
        F8 parts[8] = {};
        for (int d = 0; d < width; d += 8) {
            const F8 q = load(query + d);
            for (int i = 0; i < 8; ++i) parts[i] = fma8(q, load(keys + i * width + d), parts[i]);
        }
        F8 eight = sums(parts);
        for (int i = count - t; i < 8; ++i) eight[i] = -__builtin_inff();
        store(scores + t, eight);
        most = max8(most, eight);
    }
    return most;
}

template <int N>
static inline void add_values(const float* shares, const float* values, int count, int width, float factor, float* to) {
    F8 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = load(to + 8 * i) * factor;
    for (int t = 0; t < count; ++t, values += width) {
        const F8 share = all(shares[t]);
        for (int i = 0; i < N; ++i) acc[i] = fma8(share, load(values + 8 * i), acc[i]);
    }
    for (int i = 0; i < N; ++i) store(to + 8 * i, acc[i]);
}

// One query on one page.
static inline void attend_page(const AttentionScratch& s, int row, int count, int width) {
    float shares[kMaxPage];
    float* sums = s.sums + row * width;
    const float before = s.most[row];
    const float here = largest(score(s.queries + row * width, s.keys, count, width, shares));
    const float most = here > before ? here : before;
    const float factor = exp8(all(before - most))[0];
    F8 total = all(0.0f);
    for (int t = 0; t < count; t += 8) {
        const F8 share = exp8(load(shares + t) - most);
        store(shares + t, share);
        total = total + share;
    }
    s.most[row] = most;
    s.total[row] = s.total[row] * factor + sum(total);
    int d = 0;
    for (; d + 64 <= width; d += 64) add_values<8>(shares, s.values + d, count, width, factor, sums + d);
    for (; d < width; d += 8) add_values<1>(shares, s.values + d, count, width, factor, sums + d);
}

// Queries (tokens of `tile`, heads of `kv_head`) from `q`, rows of `stride`, rotated; results to `out`, rows of H * R.
static inline void attend(const Model& m, const Call& call, const Tile& tile, int kv_head, const uint16_t* cache,
                          const float* q, int stride, float* out, const AttentionScratch& s) {
    const int dim = m.head_dim, width = padded(dim), shared = m.heads / m.kv_heads, rows = tile.num * shared;
    const Segment& segment = call.segments[tile.segment];
    for (int row = 0; row < rows; ++row) {
        const float* query = q + (row / shared) * size_t(stride) + (kv_head * shared + row % shared) * dim;
        for (int d = 0; d < width; ++d) {
            s.queries[row * width + d] = d < dim ? query[d] * m.score_scale : 0.0f;
            s.sums[row * width + d] = 0.0f;
        }
        s.most[row] = -__builtin_inff(), s.total[row] = 0.0f;
    }
    const int end = tile.start + tile.num;
    for (int page = 0; page * call.page_size < end; ++page) {
        const int first = page * call.page_size, left = end - first;
        const size_t slot = size_t(segment.pages[page]) * call.page_size;
        const int count = left < call.page_size ? left : call.page_size;
        widen(cache + (kv_head * size_t(call.slots) + slot) * dim, count, dim, s.keys);
        widen(cache + ((m.kv_heads + kv_head) * size_t(call.slots) + slot) * dim, count, dim, s.values);
        for (int row = 0; row < rows; ++row) {
            const int seen = tile.start + row / shared + 1 - first;
            if (seen > 0) attend_page(s, row, seen < count ? seen : count, width);
        }
    }
    for (int row = 0; row < rows; ++row) {
        float* to = out + (row / shared) * size_t(m.heads * dim) + (kv_head * shared + row % shared) * dim;
        for (int d = 0; d < dim; ++d) to[d] = s.sums[row * width + d] / s.total[row];
    }
}
