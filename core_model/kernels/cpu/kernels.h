// The functions that every level has. Ignores which level is best.
#pragma once
#include "layout.h"
#include "plan.h"
#include "team.h"

struct Kernels {
    void (*call)(const Model&, const Call&, const Plan&, Team&);
    void (*linear)(const Matrix&, const float* x, int num_rows, float* out, size_t width, Team&);
};

const Kernels* portable_kernels();
const Kernels* avx2_kernels();  // null where this is no x86-64 build
const Kernels* vnni_kernels();
