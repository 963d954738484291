// Batch norm of rows (R, C) with a fused addition and ReLU, f32, both ways.
//
// Sums over rows are taken in parts: a block has 32 channels, its warps share out the rows of one of `gridDim.y` parts, and the parts are
// added in one order in f64.
#include "device.h"

// The rows of a block's part.
struct Part {
    int first, end;
    __device__ explicit Part(int rows) {
        const int each = (rows + gridDim.y - 1) / gridDim.y;
        first = min(int(blockIdx.y) * each, rows), end = min(first + each, rows);
    }
};

// The sums that the warps of a block have of their channels, (parts, 2, C).
__device__ __forceinline__ void write_sums(float* shared, float a, float b, float* parts, int channels) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, c = blockIdx.x * 32 + lane;
    float *as = shared, *bs = shared + blockDim.x;
    as[threadIdx.x] = a, bs[threadIdx.x] = b;
    __syncthreads();
    if (warp || c >= channels) return;
    for (int w = 1; w < warps; w++) a += as[w * 32 + lane], b += bs[w * 32 + lane];
    parts[(size_t(blockIdx.y) * 2) * channels + c] = a;
    parts[(size_t(blockIdx.y) * 2 + 1) * channels + c] = b;
}

// Σ (x − x₀) and Σ (x − x₀)² for the first row x₀, around which squares stay small.
KERNEL(norm_moments)(const float* xs, float* parts, int rows, int channels) {
    DYNAMIC_SHARED(float, shared);
    const Part part(rows);
    const int c = blockIdx.x * 32 + threadIdx.x % 32, warps = blockDim.x / 32;
    float sum = 0.f, squares = 0.f;
    if (c < channels)
        for (int row = part.first + threadIdx.x / 32; row < part.end; row += warps) {
            const float x = xs[size_t(row) * channels + c] - xs[c];
            sum += x, squares += x * x;
        }
    write_sums(shared, sum, squares, parts, channels);
}
REGISTER(norm_moments);

// Mean and biased variance of their parts.
KERNEL(norm_statistics)(const float* xs, const float* parts, float* mean, float* variance, int count, int rows, int channels) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double sum = 0., squares = 0.;
    for (int i = 0; i < count; i++) sum += parts[size_t(2 * i) * channels + c], squares += parts[size_t(2 * i + 1) * channels + c];
    const double shifted = sum / rows, spread = squares / rows - shifted * shifted;
    mean[c] = float(xs[c] + shifted);
    variance[c] = spread > 0. || spread != spread ? float(spread) : 0.f;
}
REGISTER(norm_statistics);

// y = (x − mean) / √(variance + ε) γ + β + add, and then ReLU or not.
KERNEL(norm_forward)(const float* xs, const float* mean, const float* variance, const float* weight, const float* bias,
                     const float* add, float* ys, float eps, int relu, int rows, int channels) {
    const size_t i = place();
    if (i >= size_t(rows) * channels) return;
    const int c = i % channels;
    float y = (xs[i] - mean[c]) * (weight[c] / sqrtf(variance[c] + eps)) + bias[c];
    if (add) y += add[i];
    ys[i] = relu ? (y > 0.f || y != y ? y : 0.f) : y;
}
REGISTER(norm_forward);

// Σ d x̂ and Σ d, where ReLU let d pass.
KERNEL(norm_parameter_parts)(const float* xs, const float* mean, const float* variance, const float* ys, const float* d_ys,
                             float* parts, float eps, int relu, int rows, int channels) {
    DYNAMIC_SHARED(float, shared);
    const Part part(rows);
    const int c = blockIdx.x * 32 + threadIdx.x % 32, warps = blockDim.x / 32;
    float of_weight = 0.f, of_bias = 0.f;
    if (c < channels) {
        const float inverse = 1.f / sqrtf(variance[c] + eps);
        for (int row = part.first + threadIdx.x / 32; row < part.end; row += warps) {
            const size_t i = size_t(row) * channels + c;
            const float d = !relu || ys[i] > 0.f ? d_ys[i] : 0.f;
            of_weight += d * (xs[i] - mean[c]) * inverse, of_bias += d;
        }
    }
    write_sums(shared, of_weight, of_bias, parts, channels);
}
REGISTER(norm_parameter_parts);

KERNEL(norm_parameter_gradients)(const float* parts, float* d_weight, float* d_bias, int count, int channels) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double of_weight = 0., of_bias = 0.;
    for (int i = 0; i < count; i++) of_weight += parts[size_t(2 * i) * channels + c], of_bias += parts[size_t(2 * i + 1) * channels + c];
    d_weight[c] = float(of_weight), d_bias[c] = float(of_bias);
}
REGISTER(norm_parameter_gradients);

// γ / √(variance + ε) (d − (Σ d + x̂ Σ d x̂) / R), the last part where the statistics are the batch's own; and d itself for what was added.
KERNEL(norm_input_gradients)(const float* xs, const float* mean, const float* variance, const float* weight, const float* ys,
                             const float* d_ys, const float* d_weight, const float* d_bias, float* d_xs, float* d_add, float eps,
                             int relu, int own, int rows, int channels) {
    const size_t i = place();
    if (i >= size_t(rows) * channels) return;
    const int c = i % channels;
    const float inverse = 1.f / sqrtf(variance[c] + eps), d = !relu || ys[i] > 0.f ? d_ys[i] : 0.f;
    if (d_add) d_add[i] = d;
    if (!d_xs) return;
    const float all = own ? (d_bias[c] + (xs[i] - mean[c]) * inverse * d_weight[c]) / rows : 0.f;
    d_xs[i] = weight[c] * inverse * (d - all);
}
REGISTER(norm_input_gradients);
