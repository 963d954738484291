// Kernels that use all that the emulator plays, and whose faults it must find.
#include "device.h"

// The sum of each warp by shuffles, of each block in shared memory.
KERNEL(block_sum)(const float* xs, float* sums) {
    DYNAMIC_SHARED(float, parts);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float sum = xs[blockIdx.x * blockDim.x + threadIdx.x];
    for (int by = 16; by; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (lane == 0) parts[warp] = sum;
    __syncthreads(); // before the parts are read
    float all = 0.f;
    for (int w = 0; w < warps; w++) all += parts[w];
    if (threadIdx.x == 0) sums[blockIdx.x] = all;
}
REGISTER(block_sum);

// Moves values through shared memory, one place further in each round.
KERNEL(rotate)(float* xs, int rounds) {
    DYNAMIC_SHARED(float, values);
    values[threadIdx.x] = xs[threadIdx.x];
    __syncthreads();
    for (int round = 0; round < rounds; round++) {
        const float next = values[(threadIdx.x + 1) % blockDim.x];
        __syncthreads(); // all have read
        values[threadIdx.x] = next;
        __syncthreads(); // all have written
    }
    xs[threadIdx.x] = values[threadIdx.x];
}
REGISTER(rotate);

// The same among blocks, which wait for the grid: two rows of values in turn.
KERNEL(rotate_blocks)(float* xs, unsigned* arrived, int rounds) {
    for (int round = 0; round < rounds; round++) {
        const float* from = xs + round % 2 * gridDim.x;
        float* to = xs + (round + 1) % 2 * gridDim.x;
        if (threadIdx.x == 1) to[blockIdx.x] = from[(blockIdx.x + 1) % gridDim.x];
        grid_barrier(arrived, round + 1);
    }
}
REGISTER(rotate_blocks);

// c (16, 8) = a (16, 16) b (8, 16)ᵀ by one warp.
KERNEL(multiply_half)(const float* a, const float* b, float* c) {
    const int g = threadIdx.x / 4, q = threadIdx.x % 4;
    auto pair = [](const float* at) {
        Half two[2] = {to_half(at[0]), to_half(at[1])};
        uint32_t word;
        memcpy(&word, two, 4);
        return word;
    };
    const uint32_t x[4] = {pair(a + g * 16 + 2 * q), pair(a + (g + 8) * 16 + 2 * q), pair(a + g * 16 + 2 * q + 8),
                           pair(a + (g + 8) * 16 + 2 * q + 8)};
    const uint32_t y[2] = {pair(b + g * 16 + 2 * q), pair(b + g * 16 + 2 * q + 8)};
    float d[4] = {};
    mma_half(d, x, y);
    for (int i = 0; i < 4; i++) c[(g + i / 2 * 8) * 8 + 2 * q + i % 2] = d[i];
}
REGISTER(multiply_half);

// c (16, 8) = a (16, 8) b (8, 8)ᵀ by one warp.
KERNEL(multiply_tf32)(const float* a, const float* b, float* c) {
    const int g = threadIdx.x / 4, q = threadIdx.x % 4;
    const uint32_t x[4] = {to_tf32(a[g * 8 + q]), to_tf32(a[(g + 8) * 8 + q]), to_tf32(a[g * 8 + q + 4]), to_tf32(a[(g + 8) * 8 + q + 4])};
    const uint32_t y[2] = {to_tf32(b[g * 8 + q]), to_tf32(b[g * 8 + q + 4])};
    float d[4] = {};
    mma_tf32(d, x, y);
    for (int i = 0; i < 4; i++) c[(g + i / 2 * 8) * 8 + 2 * q + i % 2] = d[i];
}
REGISTER(multiply_tf32);

// ys = 2 xs.
KERNEL(twice)(const float* xs, float* ys, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) ys[i] = 2.f * xs[i];
}
REGISTER(twice);

// ys = xs in half precision.
KERNEL(rounded)(const float* xs, float* ys, int count) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) ys[at] = to_float(to_half(xs[at]));
}
REGISTER(rounded);
