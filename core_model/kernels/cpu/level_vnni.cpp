// x86-64 with AVX-512 VNNI (Cascade Lake 2019, Zen 4 2022): four products of bytes in one instruction.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstddef>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif
#define LEVEL_AVX2 1
#define LEVEL_VNNI 1
#define LEVEL vnni
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif

const Kernels* vnni_kernels() { return &vnni::kernels; }
#else
#include "kernels.h"

const Kernels* vnni_kernels() { return nullptr; }
#endif
