// What libtorch's C++ interface has and tch does not reach. Every function returns 0, or 1 if libtorch refused.

#include <optional>

#include <ATen/Context.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

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

// Makes a stream of its own the current one of this thread, or (aside = 0) the one that was current before.
extern "C" int scalelaw_aside(int device, int aside) {
    thread_local std::optional<c10::Stream> own, before;
    try {
        const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
        if (aside) {
            if (!own) {
                own = guard.getStreamFromGlobalPool(c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device)));
            }
            before = guard.exchangeStream(*own);
        } else if (before) {
            guard.exchangeStream(*before);
            before.reset();
        }
        return 0;
    } catch (...) {
        return 1;
    }
}
