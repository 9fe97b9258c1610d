// What libtorch's C++ interface has and tch does not reach. Every function returns 0, or 1 if libtorch refused.

#include <ATen/Context.h>

// Deterministic algorithms where asked for, and 32-bit floats that are 32-bit floats: cuDNN would shorten them to TF32.
extern "C" int scalelaw_configure(int deterministic) {
    try {
        auto &context = at::globalContext();
        context.setDeterministicAlgorithms(deterministic != 0, /*warn_only=*/false);
        context.setDeterministicFillUninitializedMemory(false);
        context.setDeterministicCuDNN(deterministic != 0);
        context.setBenchmarkCuDNN(deterministic == 0);
        context.setAllowTF32CuDNN(false);
        context.setAllowTF32CuBLAS(false);
        return 0;
    } catch (...) {
        return 1;
    }
}
