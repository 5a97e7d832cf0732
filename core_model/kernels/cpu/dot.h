// Products of 16 interleaved outputs with one token's group of 32 inputs, in integers. Ignores scales.
//
// A step multiplies four neighbouring inputs of each of 16 outputs: 64 bytes of weights, 4 of activations for all.
// `Sums4` and `Sums8` hold a group's sums for weights of 4 and 8 bits; `floats` gives them out, exact.

constexpr int kParts = kRows / kLanes;
struct Outputs {
    Wide part[kParts];

    void put(float* to) const {
        for (int p = 0; p < kParts; ++p) store(to + p * kLanes, part[p]);
    }
    void add(float weight, float* to) const {  // to += weight * outputs
        for (int p = 0; p < kParts; ++p) {
            store(to + p * kLanes, fma(part[p], all<Wide>(weight), load_wide(to + p * kLanes)));
        }
    }
};

#if LEVEL_VNNI

// u8 x s8 in one instruction, adding up four products in 32 bits.
struct Bytes {
    __m512i rows;
};
struct Sums4 {
    __m512i of;
};
typedef Sums4 Sums8;
constexpr int kTile = 8, kSteps = 4;  // tokens at once; pairs of steps unrolled: as registers allow

static inline Sums4 no_sums() { return {_mm512_setzero_si512()}; }
static inline Bytes lower4(const uint8_t* p) { return {_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(15))}; }
static inline Bytes upper4(const uint8_t* p) {
    return {_mm512_and_si512(_mm512_srli_epi16(_mm512_loadu_si512(p), 4), _mm512_set1_epi8(15))};
}
static inline Bytes plain(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
static inline void put(uint8_t* p, Bytes x) { _mm512_storeu_si512(p, x.rows); }
static inline Bytes load8(const uint8_t* p) {
    return {_mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(char(128)))};  // code + 128: unsigned
}
static inline void add4(Sums4& sums, Bytes w, const int8_t* a) {
    struct Four {
        int8_t codes[4];
    };
    // Compilers load the four by themselves, which takes half of what can be issued.
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums.of) : "v"(w.rows), "m"(*reinterpret_cast<const Four*>(a)));
}
static inline void add8(Sums8& sums, Bytes w, const int8_t* a) { add4(sums, w, a); }
static inline Outputs floats4(Sums4 sums) { return {_mm512_cvtepi32_ps(sums.of)}; }
static inline Outputs floats8(Sums8 sums, const Group& group) {  // without the 128 that each code had too much
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(sums.of, _mm512_set1_epi32(128 * group.sum)))};
}

#elif LEVEL_AVX2

// u8 x s8 adds up two products in 16 bits: those of 4-bit weights are at most 2 * 15 * 127, and eight of them fit.
struct Bytes {
    __m256i low, high;
};
struct Sums4 {
    __m256i low, high;
};
typedef Sums4 Sums8;
constexpr int kTile = 4, kSteps = 1;

static inline Sums4 no_sums() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline __m256i four(const int8_t* a) {
    int32_t bytes;
    __builtin_memcpy(&bytes, a, 4);
    return _mm256_set1_epi32(bytes);
}
static inline __m256i bytes_at(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
static inline __m256i lower_half(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
static inline Bytes lower4(const uint8_t* p) { return {lower_half(bytes_at(p)), lower_half(bytes_at(p + 32))}; }
static inline Bytes upper4(const uint8_t* p) {
    return {lower_half(_mm256_srli_epi16(bytes_at(p), 4)), lower_half(_mm256_srli_epi16(bytes_at(p + 32), 4))};
}
static inline Bytes plain(const uint8_t* p) { return {bytes_at(p), bytes_at(p + 32)}; }
static inline void put(uint8_t* p, Bytes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), x.high);
}
static inline Bytes load8(const uint8_t* p) { return plain(p); }
static inline void add4(Sums4& sums, Bytes w, const int8_t* a) {
    const __m256i x = four(a);
    sums.low = _mm256_add_epi16(sums.low, _mm256_maddubs_epi16(w.low, x));
    sums.high = _mm256_add_epi16(sums.high, _mm256_maddubs_epi16(w.high, x));
    asm("" : "+x"(sums.low), "+x"(sums.high));  // else products are added up first, which takes too many registers
}
// |w| x (a with w's sign): 2 * 128 * 127 fits 16 bits once, so each product is widened.
static inline __m256i wide(__m256i w, __m256i x) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), _mm256_set1_epi16(1));
}
static inline void add8(Sums8& sums, Bytes w, const int8_t* a) {
    const __m256i x = four(a);
    sums.low = _mm256_add_epi32(sums.low, wide(w.low, x));
    sums.high = _mm256_add_epi32(sums.high, wide(w.high, x));
}
static inline Outputs floats4(Sums4 sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    return {(F8)_mm256_cvtepi32_ps(_mm256_madd_epi16(sums.low, ones)),
            (F8)_mm256_cvtepi32_ps(_mm256_madd_epi16(sums.high, ones))};
}
static inline Outputs floats8(Sums8 sums, const Group&) {
    return {(F8)_mm256_cvtepi32_ps(sums.low), (F8)_mm256_cvtepi32_ps(sums.high)};
}

#else

struct Bytes {
    int8_t rows[4 * kRows];
};
struct Sums4 {
    int32_t of[kRows];
};
typedef Sums4 Sums8;
constexpr int kTile = 4, kSteps = 1;

static inline Sums4 no_sums() { return {}; }
static inline Bytes lower4(const uint8_t* p) {
    Bytes bytes;
    for (int i = 0; i < 4 * kRows; ++i) bytes.rows[i] = p[i] & 15;
    return bytes;
}
static inline Bytes upper4(const uint8_t* p) {
    Bytes bytes;
    for (int i = 0; i < 4 * kRows; ++i) bytes.rows[i] = p[i] >> 4;
    return bytes;
}
static inline Bytes plain(const uint8_t* p) {
    Bytes bytes;
    __builtin_memcpy(bytes.rows, p, sizeof bytes.rows);
    return bytes;
}
static inline void put(uint8_t* p, const Bytes& x) { __builtin_memcpy(p, x.rows, sizeof x.rows); }
static inline Bytes load8(const uint8_t* p) { return plain(p); }
static inline void add4(Sums4& sums, const Bytes& w, const int8_t* a) {
    for (int r = 0; r < kRows; ++r) {
        const int8_t* row = w.rows + 4 * r;
        sums.of[r] += row[0] * a[0] + row[1] * a[1] + row[2] * a[2] + row[3] * a[3];
    }
}
static inline void add8(Sums8& sums, const Bytes& w, const int8_t* a) { add4(sums, w, a); }
static inline Outputs floats4(const Sums4& sums) {
    Outputs outputs;
    for (int i = 0; i < kRows; ++i) outputs.part[i / kLanes][i % kLanes] = float(sums.of[i]);
    return outputs;
}
static inline Outputs floats8(const Sums8& sums, const Group&) { return floats4(sums); }

#endif
