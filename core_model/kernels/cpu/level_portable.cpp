// Any machine: SSE2 on x86-64, NEON on ARM, whatever the compiler makes of plain vectors.
#include <cmath>
#include <cstddef>

#include "kernels.h"
#define LEVEL portable
#include "level.h"

const Kernels* portable_kernels() { return &portable::kernels; }
