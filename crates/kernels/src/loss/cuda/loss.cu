// Cross-entropy, f32: a block for each row, whose softmax the way back forms again from two numbers.
#include "device.h"

// What a row's target is worth: 0 where it does not count, NaN where it is no class.
struct Target {
    int of;
    float weight;

    __device__ Target(const long long* targets, const float* mask, int row, int classes, int ignores, long long ignored) {
        const long long target = targets[row];
        const bool counts = !(ignores && target == ignored), is_class = target >= 0 && target < classes;
        of = is_class ? int(target) : 0;
        weight = !counts ? 0.f : is_class ? (mask ? mask[row] : 1.f) : NAN;
    }
};

#define TARGET_PARAMETERS const long long *targets, const float *mask, int classes, int ignores, long long ignored, float smoothing
#define TARGET(row) Target(targets, mask, row, classes, ignores, ignored)

// The sum, or the largest, of what a block's threads have; `parts` has a value for each of them.
template <class Combine>
__device__ __forceinline__ float combined(float* parts, float mine, Combine combine) {
    parts[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] = combine(parts[threadIdx.x], parts[threadIdx.x + half]);
        __syncthreads();
    }
    const float all = parts[0];
    __syncthreads(); // before they are written again
    return all;
}

__device__ __forceinline__ float add(float a, float b) { return a + b; }
// A NaN stays one.
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }

// loss = w (lse − x_t), smoothed; of each row the largest logit and log Σ exp(x − largest) are kept.
KERNEL(cross_entropy_rows)(const float* logits, float* losses, float* weights, float* normalisers, TARGET_PARAMETERS) {
    DYNAMIC_SHARED(float, parts);
    const int row = blockIdx.x;
    const Target target = TARGET(row);
    const float* x = logits + size_t(row) * classes;
    if (target.weight == 0.f) {
        if (threadIdx.x == 0) losses[row] = weights[row] = normalisers[2 * row] = normalisers[2 * row + 1] = 0.f;
        return;
    }
    float largest = -INFINITY, exps = 0.f, sum = 0.f;
    for (int v = threadIdx.x; v < classes; v += blockDim.x) largest = larger(largest, x[v]);
    largest = combined(parts, largest, larger);
    for (int v = threadIdx.x; v < classes; v += blockDim.x) exps += expf(x[v] - largest), sum += x[v] - largest;
    exps = combined(parts, exps, add);
    sum = combined(parts, sum, add);
    if (threadIdx.x) return;
    const float log_sum = logf(exps);
    float loss = log_sum + (largest - x[target.of]);
    if (smoothing > 0.f) loss = (1.f - smoothing) * loss + smoothing * (log_sum - sum / classes);
    losses[row] = target.weight * loss;
    weights[row] = target.weight;
    normalisers[2 * row] = largest, normalisers[2 * row + 1] = log_sum;
}
REGISTER(cross_entropy_rows);

// The sum of all losses, over the sum of all weights for a mean; `total` is the loss and what each row's weight is divided by.
KERNEL(cross_entropy_total)(const float* losses, const float* weights, float* loss, float* divisor, int rows, int mean) {
    DYNAMIC_SHARED(float, parts);
    float sum = 0.f, weight = 0.f;
    for (int i = threadIdx.x; i < rows; i += blockDim.x) sum += losses[i], weight += weights[i];
    sum = combined(parts, sum, add);
    weight = mean ? combined(parts, weight, add) : 1.f;
    if (threadIdx.x == 0) *loss = sum / weight, *divisor = weight;
}
REGISTER(cross_entropy_total);

// w / divisor · (softmax − (1 − s) one-hot − s / V), times the gradient of the loss or of the row's.
KERNEL(cross_entropy_gradients)(const float* logits, const float* normalisers, const float* outer, const float* divisor,
                                float* gradients, int reduced, TARGET_PARAMETERS) {
    const int row = blockIdx.x;
    const Target target = TARGET(row);
    const float *x = logits + size_t(row) * classes, largest = normalisers[2 * row], log_sum = normalisers[2 * row + 1];
    const float scale = target.weight == 0.f ? 0.f : target.weight / (reduced ? *divisor : 1.f) * outer[reduced ? 0 : row];
    for (int v = threadIdx.x; v < classes; v += blockDim.x) {
        const float soft = target.weight == 0.f ? 0.f : expf(x[v] - largest - log_sum) - smoothing / classes;
        gradients[size_t(row) * classes + v] = scale * (soft - (v == target.of ? 1.f - smoothing : 0.f));
    }
}
REGISTER(cross_entropy_gradients);
