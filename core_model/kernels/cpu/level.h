// All kernels, once for the level that the including file chose. Ignores which.
namespace LEVEL {
namespace {
#include "vec.h"
#include "dot.h"
#include "matmul.h"
#include "attention.h"
#include "routing.h"
#include "step.h"
}  // namespace
const Kernels kernels{run_call, run_linear};
}  // namespace LEVEL
