// Eight floats at a time, by the compiler's vector extension, so that one text serves every level. Ignores layouts.
//
// Each level includes this within its own namespace. AVX2 levels use the machine's fused multiply-add and half-float
// conversion; elsewhere plain operators do. Sums have one fixed order, whatever is computed beside them.

typedef float F8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t I8 __attribute__((vector_size(32), aligned(4), may_alias));

static inline F8 all(float x) { return F8{x, x, x, x, x, x, x, x}; }
static inline F8 load(const float* p) { return *reinterpret_cast<const F8*>(p); }
static inline void store(float* p, F8 x) { *reinterpret_cast<F8*>(p) = x; }

#if LEVEL_AVX2
static inline F8 max8(F8 a, F8 b) { return (F8)_mm256_max_ps(a, b); }
static inline F8 min8(F8 a, F8 b) { return (F8)_mm256_min_ps(a, b); }
static inline F8 fma8(F8 a, F8 b, F8 c) { return _mm256_fmadd_ps(a, b, c); }
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
static inline F8 max8(F8 a, F8 b) { return a > b ? a : b; }
static inline F8 min8(F8 a, F8 b) { return a < b ? a : b; }
static inline F8 fma8(F8 a, F8 b, F8 c) { return a * b + c; }
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

// e^x to about 1e-7, relative, for -87 to 88; beyond as at the ends (Cephes' expf).
static inline F8 exp8(F8 x) {
    x = max8(all(-87.0f), min8(all(88.0f), x));
    const I8 n = nearest(x * 1.44269504f);
    const F8 whole = __builtin_convertvector(n, F8);
    const F8 r = fma8(whole, all(2.12194440e-4f), fma8(whole, all(-0.693359375f), x));
    F8 p = all(1.9875691500e-4f);
    p = fma8(p, r, all(1.3981999507e-3f));
    p = fma8(p, r, all(8.3334519073e-3f));
    p = fma8(p, r, all(4.1665795894e-2f));
    p = fma8(p, r, all(1.6666665459e-1f));
    p = fma8(p, r, all(5.0000001201e-1f));
    p = fma8(p, r * r, r + 1.0f);
    const I8 power = (n + 127) << 23;
    return p * reinterpret_cast<const F8&>(power);
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

// Activations in 8 bits: `codes` of 32, their scale, and the sum of what they stand for.
static inline void quantize_group(const float* x, int8_t* codes, float* scale, float* total) {
    F8 size = all(0.0f);
    for (int i = 0; i < kGroup; i += 8) size = max8(size, max8(load(x + i), -load(x + i)));
    const float most = largest(size), inverse = most > 0.0f ? 127.0f / most : 0.0f;
    I8 rounded[kGroup / 8], sums = {};
    for (int i = 0; i < kGroup / 8; ++i) sums += rounded[i] = nearest(load(x + 8 * i) * inverse);
    to_bytes(rounded, codes);
    int all_codes = 0;
    for (int k = 0; k < 8; ++k) all_codes += sums[k];
    *scale = most / 127.0f;
    *total = *scale * float(all_codes);
}
