// The largest values of a row and log Σ exp of it, f32: a block for each row.
#include "device.h"

// Values in the order in which they are wanted: the larger first, of equal ones that which comes first.
struct Ranked {
    float value;
    int at;

    __device__ bool before(Ranked other) const { return value > other.value || (value == other.value && at < other.at); }
};

// sums (N), values and indices (N, k). A row with fewer numbers than k, as NaN is none, ends with −∞ at 2³² − 1.
KERNEL(top_k)(const float* xs, float* sums, float* values, unsigned* indices, int width, int k) {
    DYNAMIC_SHARED(Ranked, best);
    const float* row = xs + size_t(blockIdx.x) * width;
    Ranked last = {INFINITY, -1}, largest = last;
    for (int i = 0; i < k; i++) {
        // The first behind the last one that was found.
        Ranked mine = {-INFINITY, width};
        for (int at = threadIdx.x; at < width; at += blockDim.x) {
            const Ranked other = {row[at], at};
            if (last.before(other) && other.before(mine)) mine = other;
        }
        best[threadIdx.x] = mine;
        __syncthreads();
        for (unsigned half = blockDim.x / 2; half; half /= 2) {
            if (threadIdx.x < half && best[threadIdx.x + half].before(best[threadIdx.x])) best[threadIdx.x] = best[threadIdx.x + half];
            __syncthreads();
        }
        last = best[0];
        __syncthreads();
        if (i == 0) largest = last;
        if (threadIdx.x) continue;
        values[size_t(blockIdx.x) * k + i] = last.value;
        indices[size_t(blockIdx.x) * k + i] = last.at < width ? last.at : ~0u;
    }
    float sum = 0.f;
    for (int at = threadIdx.x; at < width; at += blockDim.x)
        sum += row[at] == -INFINITY ? 0.f : __expf(row[at] - largest.value);
    best[threadIdx.x].value = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) best[threadIdx.x].value += best[threadIdx.x + half].value;
        __syncthreads();
    }
    // Where all are −∞ the sum is 0, and NaN where one is.
    if (threadIdx.x == 0) sums[blockIdx.x] = largest.value == -INFINITY ? best[0].value - INFINITY : largest.value + logf(best[0].value);
}
REGISTER(top_k);
