// x86-64 with AVX2, FMA and half floats (Haswell 2013, Zen 2017).
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstddef>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#define LEVEL_AVX2 1
#define LEVEL avx2
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif

const Kernels* avx2_kernels() { return &avx2::kernels; }
#else
#include "kernels.h"

const Kernels* avx2_kernels() { return nullptr; }
#endif
