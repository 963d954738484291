// Steps of optimisers and the norm of gradients over tables of tensors, f32: one launch for all parameters.
//
// A block takes a piece of one tensor: `pieces` says which entry it belongs to and where it starts.
#include "device.h"

// One parameter. The addresses of what there is not are 0.
struct Entry {
    float *parameter, *gradient, *first, *second, *average;
    unsigned count;
    // η, the factor of AdamW's decay, η/(1−β₁ᵗ), √(1−β₂ᵗ), and the share of the parameter in its average.
    float learning_rate, shrink, size, root, share;
};

struct Piece {
    unsigned entry, start;
};

// Σ g² of a piece, in f64.
KERNEL(squares_of_pieces)(const Entry* entries, const Piece* pieces, double* sums, int length) {
    DYNAMIC_SHARED(double, parts);
    const Piece piece = pieces[blockIdx.x];
    const Entry entry = entries[piece.entry];
    const unsigned end = entry.count - piece.start < unsigned(length) ? entry.count : piece.start + length;
    double sum = 0.;
    if (entry.gradient)
        for (unsigned i = piece.start + threadIdx.x; i < end; i += blockDim.x) sum += double(entry.gradient[i]) * entry.gradient[i];
    parts[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}
REGISTER(squares_of_pieces);

// By one block: the norm of all gradients times `unscale` from the sums of their pieces, and the factor unscale · min(1, limit / (norm + 10⁻⁶))
// on them, which is NaN where the norm or one of the first `checked` of `count` numbers is not finite. What is told: factor, norm, numbers.
KERNEL(norm_and_factor)(const double* sums, int pieces, const float* const* numbers, int count, int checked, float limit, float unscale,
                        float* told) {
    DYNAMIC_SHARED(double, parts);
    double sum = 0.;
    for (int i = threadIdx.x; i < pieces; i += blockDim.x) sum += sums[i];
    parts[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x) return;
    const float norm = float(sqrt(parts[0])) * unscale;
    bool finite = isfinite(norm);
    for (int i = 0; i < count; i++) {
        told[2 + i] = *numbers[i];
        if (i < checked) finite = finite && isfinite(told[2 + i]);
    }
    told[0] = !finite ? NAN : unscale * (limit < norm + 1e-6f ? limit / (norm + 1e-6f) : 1.f);
    told[1] = norm;
}
REGISTER(norm_and_factor);

// The formulas of `rule.rs`. `kind` is 0 for Adam, 1 for SGD, 2 for RMSprop; `rate1` is 1−β₁; `beta2` and `rate2` are β₂ and 1−β₂, or α and
// 1−α; `decay` is λ where it is added to the gradient. Where `factor` is NaN, nothing changes.
KERNEL(optimizer_step)(const Entry* entries, const Piece* pieces, int length, const float* factor, float scale, int kind, float rate1,
                       float beta2, float rate2, float eps, float decay, float momentum, int nesterov) {
    if (factor) scale = *factor;
    if (isnan(scale)) return;
    const Piece piece = pieces[blockIdx.x];
    const Entry e = entries[piece.entry];
    const unsigned end = e.count - piece.start < unsigned(length) ? e.count : piece.start + length;
    for (unsigned i = piece.start + threadIdx.x; i < end; i += blockDim.x) {
        float p = e.parameter[i];
        if (e.gradient) {
            p *= e.shrink;
            const float g = e.gradient[i] * scale + decay * p;
            if (kind == 0) {
                const float m = e.first[i] + rate1 * (g - e.first[i]), v = beta2 * e.second[i] + rate2 * g * g;
                e.first[i] = m, e.second[i] = v;
                p -= e.size * m / (sqrtf(v) / e.root + eps);
            } else if (kind == 1) {
                float direction = g;
                if (e.first) {
                    const float b = e.first[i] = momentum * e.first[i] + g;
                    direction = nesterov ? g + momentum * b : b;
                }
                p -= e.learning_rate * direction;
            } else {
                const float s = e.first[i] = beta2 * e.first[i] + rate2 * g * g;
                float direction = g / (sqrtf(s) + eps);
                if (e.second) direction = e.second[i] = momentum * e.second[i] + direction;
                p -= e.learning_rate * direction;
            }
            e.parameter[i] = p;
        }
        if (e.average) e.average[i] += e.share * (p - e.average[i]);
    }
}
REGISTER(optimizer_step);
