// CUDA's threads as fibres of one host thread: as much of the language as this crate's kernels use.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

using std::isfinite;
using std::isnan;

using std::max;
using std::min;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define KERNEL(name) void name
#define REGISTER(name) static const bool registered_##name = emulator::add(#name, name)
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::now->block->shared)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

struct Half {
    uint16_t bits;
};

inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// To the nearest, ties to even.
#ifdef HALF_IS_F16
inline Half to_half(float x) {
    const uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (std::isnan(x)) return {0x7fff};
    if (size >= to_bits(65520.f)) return {uint16_t(sign | 0x7c00)};
    // Below 2⁻¹⁴ an f16's last place is 2⁻²⁴, which is that of an f32 from ½ on.
    if (size < to_bits(0x1p-14f)) return {uint16_t(sign | (to_bits(from_bits(size) + .5f) - to_bits(.5f)))};
    return {uint16_t(sign | ((size + 0xfff + (size >> 13 & 1)) - (112u << 23)) >> 13)};
}

inline float to_float(Half x) {
    const uint32_t sign = uint32_t(x.bits & 0x8000) << 16, size = uint32_t(x.bits & 0x7fff) << 13;
    if (size >= 0x0f800000) return from_bits(sign | size | 0x7f800000);
    return from_bits(sign | to_bits(from_bits(size) * 0x1p112f));
}
#else
inline Half to_half(float x) {
    if (std::isnan(x)) return {0x7fff};
    const uint32_t bits = to_bits(x);
    return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline float to_float(Half x) { return from_bits(uint32_t(x.bits) << 16); }
#endif

namespace emulator {

struct Block;

// One thread of CUDA's.
struct Fibre {
    enum State { RUN, BLOCK, WARP, SPIN, DONE };
    void* top;
    Block* block;
    dim3 thread;
    unsigned flat;
    State state;
};

// What the 32 threads of a warp pass to each other.
struct Warp {
    unsigned arrived = 0, alive = 0;
    uint64_t slots[32];
    uint32_t a[32][4], b[32][2];
};

struct Block {
    dim3 index;
    unsigned char* shared = nullptr;
    unsigned arrived = 0, alive = 0, count = 0;
    Fibre* fibres = nullptr;
    std::vector<Warp> warps;
};

extern thread_local Fibre* now;
extern thread_local dim3 grid, block;

void sync_block();
void sync_warp();
void spin();

struct Kernel {
    std::vector<size_t> sizes;
    std::function<void(void**)> call;
};

std::map<std::string, Kernel>& kernels();

template <class... A, size_t... I>
void call(void (*f)(A...), void** p, std::index_sequence<I...>) {
    f(*static_cast<std::remove_reference_t<A>*>(p[I])...);
}

template <class... A>
bool add(const char* name, void (*f)(A...)) {
    kernels()[name] = {{sizeof(A)...}, [f](void** p) { call(f, p, std::index_sequence_for<A...>{}); }};
    return true;
}

inline unsigned lane() { return now->flat % 32; }
inline Warp& warp() { return now->block->warps[now->flat / 32]; }

template <class T>
T exchange(T value, unsigned from) {
    static_assert(sizeof(T) <= 8, "a shuffle of up to eight bytes");
    Warp& w = warp();
    memcpy(&w.slots[lane()], &value, sizeof value);
    sync_warp();
    memcpy(&value, &w.slots[from], sizeof value);
    sync_warp();
    return value;
}

// The fragments of an mma.sync with k in groups of `pack` values a register.
template <class Value>
void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], unsigned pack, Value value) {
    Warp& w = warp();
    const unsigned g = lane() / 4, q = lane() % 4, half = 4 * pack;
    memcpy(w.a[lane()], a, sizeof a);
    memcpy(w.b[lane()], b, sizeof b);
    sync_warp();
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + i / 2 * 8, column = q * 2 + i % 2;
        for (unsigned k = 0; k < 2 * half; k++) {
            const unsigned at = k % half / pack;
            const float x = value(w.a[row % 8 * 4 + at][row / 8 + 2 * (k / half)], k % pack);
            d[i] += x * value(w.b[column * 4 + at][k / half], k % pack);
        }
    }
    sync_warp();
}

}  // namespace emulator

#define threadIdx (emulator::now->thread)
#define blockIdx (emulator::now->block->index)
#define blockDim (emulator::block)
#define gridDim (emulator::grid)

inline void __syncthreads() { emulator::sync_block(); }
inline void __syncwarp(unsigned = ~0u) { emulator::sync_warp(); }
inline void __threadfence() {}
inline void spin() { emulator::spin(); }
inline uint32_t fresh(const Half* at) {
    uint32_t two;
    memcpy(&two, at, sizeof two);
    return two;
}
inline unsigned acquire(const unsigned* at) { return *at; }
inline void release_one(unsigned* at) { ++*at; }

template <class T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
    return emulator::exchange(value, emulator::lane() ^ mask);
}

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by) {
    const unsigned from = emulator::lane() + by;
    return emulator::exchange(value, from < 32 ? from : emulator::lane());
}

template <class T>
T __shfl_sync(unsigned, T value, unsigned from) {
    return emulator::exchange(value, from % 32);
}

template <class T>
T __ldg(const T* at) {
    return *at;
}

template <class T>
T atomicAdd(T* at, T value) {
    T old = *at;
    *at += value;
    return old;
}

template <class T>
T atomicMax(T* at, T value) {
    T old = *at;
    *at = std::max(old, value);
    return old;
}

inline float __expf(float x) { return expf(x); }
inline float __fdividef(float x, float y) { return x / y; }

inline void mma_half(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulator::mma(d, a, b, 2, [](uint32_t word, unsigned i) { return to_float({uint16_t(word >> (16 * i))}); });
}

inline uint32_t to_tf32(float x) {
    return std::isfinite(x) ? (to_bits(x) + 0x1000) & ~0x1fffu : to_bits(x);
}

// The tensor cores read 19 bits of each factor.
inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulator::mma(d, a, b, 1, [](uint32_t word, unsigned) { return from_bits(word & ~0x1fffu); });
}
