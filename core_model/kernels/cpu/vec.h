// Eight floats at a time (F8), or as many as the level's registers hold (Wide), by the compiler's vector extension, so
// that one text serves every level. Ignores layouts.
//
// Each level includes this within its own namespace. AVX2 levels use the machine's fused multiply-add and half-float
// conversion; elsewhere plain operators do. Sums have one fixed order, whatever is computed beside them.

typedef float F8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t I8 __attribute__((vector_size(32), aligned(4), may_alias));

#if LEVEL_VNNI
typedef float Wide __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t WideInts __attribute__((vector_size(64), aligned(4), may_alias));
#else
typedef F8 Wide;
#endif
constexpr int kLanes = sizeof(Wide) / sizeof(float);

template <class V = F8>
static inline V all(float x) {
    return x - V{};
}

// No templates: as a template's argument a type would be thought to lie aligned.
static inline F8 load(const float* p) { return *reinterpret_cast<const F8*>(p); }
static inline Wide load_wide(const float* p) { return *reinterpret_cast<const Wide*>(p); }
static inline void store(float* p, F8 x) { *reinterpret_cast<F8*>(p) = x; }

#if LEVEL_AVX2
static inline F8 max(F8 a, F8 b) { return (F8)_mm256_max_ps(a, b); }
static inline F8 min(F8 a, F8 b) { return (F8)_mm256_min_ps(a, b); }
static inline F8 fma(F8 a, F8 b, F8 c) { return _mm256_fmadd_ps(a, b, c); }
static inline F8 from_half(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline void to_half(uint16_t* p, F8 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
static inline I8 nearest(F8 x) { return (I8)_mm256_cvtps_epi32(x); }  // to integers, ties to even
static inline float sum(F8 x) {
    const __m128 fours = _mm_add_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
    const __m128 pairs = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)));
}
static inline float largest(F8 x) {
    const __m128 fours = _mm_max_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
    const __m128 pairs = _mm_max_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_max_ss(pairs, _mm_movehdup_ps(pairs)));
}
#else
static inline F8 max(F8 a, F8 b) { return a > b ? a : b; }
static inline F8 min(F8 a, F8 b) { return a < b ? a : b; }
static inline F8 fma(F8 a, F8 b, F8 c) { return a * b + c; }
static inline float half_to_float(uint16_t half) {
    const uint32_t sign = uint32_t(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) return __builtin_bit_cast(float, sign | 0x7f800000u | (rest & 0x3ff) << 13);
    const float scaled = __builtin_bit_cast(float, rest << 13) * 0x1p112f;  // subnormal halves too
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, scaled) | sign);
}
static inline uint16_t float_to_half(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000u) return uint16_t(sign | 0x7e00);
    if (size >= 0x477ff000u) return uint16_t(sign | 0x7c00);
    if (size < 0x38800000u) {  // subnormal: adding this number leaves the rounded bits at the end
        const float shifted = __builtin_bit_cast(float, size) + 0.5f;
        return uint16_t(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000u));
    }
    return uint16_t(sign | (size - 0x38000000u + 0xfff + (size >> 13 & 1)) >> 13);
}
static inline F8 from_half(const uint16_t* p) {
    F8 x;
    for (int i = 0; i < 8; ++i) x[i] = half_to_float(p[i]);
    return x;
}
static inline void to_half(uint16_t* p, F8 x) {
    for (int i = 0; i < 8; ++i) p[i] = float_to_half(x[i]);
}
static inline I8 nearest(F8 x) { return __builtin_convertvector((x + 12582912.0f) - 12582912.0f, I8); }
static inline float sum(F8 x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }
static inline float largest(F8 x) {
    float most = x[0];
    for (int i = 1; i < 8; ++i) most = x[i] > most ? x[i] : most;
    return most;
}
#endif

#if LEVEL_VNNI
static inline void store(float* p, Wide x) { *reinterpret_cast<Wide*>(p) = x; }
static inline Wide max(Wide a, Wide b) { return (Wide)_mm512_max_ps(a, b); }
static inline Wide min(Wide a, Wide b) { return (Wide)_mm512_min_ps(a, b); }
static inline Wide fma(Wide a, Wide b, Wide c) { return _mm512_fmadd_ps(a, b, c); }
static inline WideInts nearest(Wide x) { return (WideInts)_mm512_cvtps_epi32(x); }
static inline Wide wide_from_half(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline float largest(Wide x) {
    struct Halves {
        F8 low, high;
    };
    const Halves halves = __builtin_bit_cast(Halves, x);
    return largest(max(halves.low, halves.high));
}
#else
static inline Wide wide_from_half(const uint16_t* p) { return from_half(p); }
#endif

// e^x to about 1e-7, relative, for -87 to 88; beyond as at the ends (Cephes' expf).
template <class V>
static inline V exp(V x) {
    x = max(all<V>(-87.0f), min(all<V>(88.0f), x));
    const auto n = nearest(x * 1.44269504f);
    const V whole = __builtin_convertvector(n, V);
    const V r = fma(whole, all<V>(2.12194440e-4f), fma(whole, all<V>(-0.693359375f), x));
    V p = all<V>(1.9875691500e-4f);
    for (const float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
        p = fma(p, r, all<V>(c));
    }
    p = fma(p, r * r, r + 1.0f);
    const auto power = (n + 127) << 23;
    return p * (V)power;
}

static inline void to_bytes(const I8* x, int8_t* bytes) {  // 32 of them
#if LEVEL_AVX2
    const __m256i low = _mm256_packs_epi32((__m256i)x[0], (__m256i)x[1]);
    const __m256i high = _mm256_packs_epi32((__m256i)x[2], (__m256i)x[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works in halves
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes), packed);
#else
    for (int i = 0; i < kGroup; ++i) bytes[i] = int8_t(x[i / 8][i % 8]);
#endif
}

// Activations of one token in 8 bits, 32 of them.
struct Group {
    int8_t codes[kGroup];
    int32_t sum;         // of the codes
    float scale, total;  // the sum of what the codes stand for
};

static inline void quantize(const float* x, Group& group) {
    F8 size = all(0.0f);
    for (int i = 0; i < kGroup; i += 8) size = max(size, max(load(x + i), -load(x + i)));
    const float most = largest(size), inverse = most > 0.0f ? 127.0f / most : 0.0f;
    I8 rounded[kGroup / 8], sums = {};
    for (int i = 0; i < kGroup / 8; ++i) sums += rounded[i] = nearest(load(x + 8 * i) * inverse);
    to_bytes(rounded, group.codes);
    group.sum = 0;
    for (int k = 0; k < 8; ++k) group.sum += sums[k];
    group.scale = most / 127.0f;
    group.total = group.scale * float(group.sum);
}
