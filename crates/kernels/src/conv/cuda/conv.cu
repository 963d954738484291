// Convolution, f32, by a product with the inputs of each output: how they are gathered, and how gradients come back to their places.
//
// Rows stand for outputs (n, i, j), columns for what one output of a group reads, (c, u, v) as a weight has them. `first` is the first picture
// of those that are taken together.
#include "device.h"

struct Sizes {
    int channels, outputs;  // of a group
    int groups, height, width, kernel_height, kernel_width, output_height, output_width;
    int stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
    int nhwc;

    // An input, or an output, of a group.
    __device__ size_t input(int n, int group, int c, int y, int x) const {
        const int all = groups * channels, at = group * channels + c;
        return nhwc ? ((size_t(n) * height + y) * width + x) * all + at : ((size_t(n) * all + at) * height + y) * width + x;
    }
    __device__ size_t output(int n, int o, int position) const {
        const int all = groups * outputs, area = output_height * output_width;
        return nhwc ? (size_t(n) * area + position) * all + o : (size_t(n) * all + o) * area + position;
    }
};

// Where a tap of an output's window lies in the inputs.
struct Tap {
    int y, x;
    bool inside;

    __device__ Tap(const Sizes& s, int position, int u, int v) {
        y = position / s.output_width * s.stride_y + u * s.dilation_y - s.padding_y;
        x = position % s.output_width * s.stride_x + v * s.dilation_x - s.padding_x;
        inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
    }
};

// columns (rows, channels · kernel): the inputs of each output of a group; in half precision alone where there is room for that.
KERNEL(conv_gather)(const float* xs, float* columns, Half* half, Sizes s, int first, int count, int group) {
    const int depth = s.channels * s.kernel_height * s.kernel_width, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * area * depth) return;
    const int column = i % depth, n = i / depth / area, at = i / depth % area;
    const int c = column / (s.kernel_height * s.kernel_width), u = column / s.kernel_width % s.kernel_height, v = column % s.kernel_width;
    const Tap tap(s, at, u, v);
    const float value = tap.inside ? xs[s.input(first + n, group, c, tap.y, tap.x)] : 0.f;
    if (half) half[i] = to_half(value);
    else columns[i] = value;
}
REGISTER(conv_gather);

// From rows (rows, O) to maps, with bias and ReLU.
KERNEL(conv_output)(const float* rows, const float* bias, float* ys, Sizes s, int first, int count, int relu) {
    const int outputs = s.groups * s.outputs, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * area * outputs) return;
    const int o = i % outputs, at = i / outputs % area, n = i / outputs / area;
    float y = rows[i] + (bias ? bias[o] : 0.f);
    if (relu) y = y > 0.f || y != y ? y : 0.f;
    ys[s.output(first + n, o, at)] = y;
}
REGISTER(conv_output);

// From maps to rows; with the outputs `ys` of a ReLU only where it let pass.
KERNEL(conv_rows)(const float* d_ys, const float* ys, float* rows, Half* half, Sizes s, int first, int count) {
    const int outputs = s.groups * s.outputs, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * area * outputs) return;
    const size_t from = s.output(first + i / outputs / area, i % outputs, i / outputs % area);
    rows[i] = !ys || ys[from] > 0.f ? d_ys[from] : 0.f;
    if (half) half[i] = to_half(rows[i]);
}
REGISTER(conv_rows);

// The gradient of each input of a group: the sum over all columns that read it, in one order.
KERNEL(conv_scatter)(const float* columns, float* d_xs, Sizes s, int first, int count, int group) {
    const int depth = s.channels * s.kernel_height * s.kernel_width, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * s.channels * s.height * s.width) return;
    const int x = i % s.width, y = i / s.width % s.height, c = i / s.width / s.height % s.channels, n = i / s.width / s.height / s.channels;
    float sum = 0.f;
    for (int u = 0; u < s.kernel_height; u++) {
        const int row = y + s.padding_y - u * s.dilation_y;
        if (row < 0 || row % s.stride_y || row / s.stride_y >= s.output_height) continue;
        for (int v = 0; v < s.kernel_width; v++) {
            const int column = x + s.padding_x - v * s.dilation_x;
            if (column < 0 || column % s.stride_x || column / s.stride_x >= s.output_width) continue;
            const size_t at = size_t(n) * area + row / s.stride_y * s.output_width + column / s.stride_x;
            sum += columns[at * depth + (c * s.kernel_height + u) * s.kernel_width + v];
        }
    }
    d_xs[s.input(first + n, group, c, y, x)] = sum;
}
REGISTER(conv_scatter);

// Groups of one channel each: a thread for each output, and no product. `outputs` is how many a channel has.
KERNEL(depthwise_forward)(const float* xs, const float* weight, const float* bias, float* ys, Sizes s, int count, int relu) {
    const int outputs = s.groups * s.outputs, area = s.output_height * s.output_width, taps = s.kernel_height * s.kernel_width;
    const size_t i = place();
    if (i >= size_t(count) * area * outputs) return;
    const int o = i % outputs, at = i / outputs % area, n = i / outputs / area;
    float y = bias ? bias[o] : 0.f;
    for (int tap = 0; tap < taps; tap++) {
        const Tap from(s, at, tap / s.kernel_width, tap % s.kernel_width);
        if (from.inside) y += weight[size_t(o) * taps + tap] * xs[s.input(n, o / s.outputs, 0, from.y, from.x)];
    }
    if (relu) y = y > 0.f || y != y ? y : 0.f;
    ys[s.output(n, o, at)] = y;
}
REGISTER(depthwise_forward);

// The gradient of each input: a thread for each; `ys` is null where there is no ReLU.
KERNEL(depthwise_input_gradients)(const float* d_ys, const float* ys, const float* weight, float* d_xs, Sizes s, int count) {
    const int taps = s.kernel_height * s.kernel_width;
    const size_t i = place();
    if (i >= size_t(count) * s.groups * s.height * s.width) return;
    const int c = i % s.groups, x = i / s.groups % s.width, y = i / s.groups / s.width % s.height, n = i / s.groups / s.width / s.height;
    float sum = 0.f;
    for (int tap = 0; tap < taps; tap++) {
        const int row = y + s.padding_y - tap / s.kernel_width * s.dilation_y, column = x + s.padding_x - tap % s.kernel_width * s.dilation_x;
        if (row < 0 || row % s.stride_y || row / s.stride_y >= s.output_height) continue;
        if (column < 0 || column % s.stride_x || column / s.stride_x >= s.output_width) continue;
        for (int k = 0; k < s.outputs; k++) {
            const int o = c * s.outputs + k;
            const size_t at = s.output(n, o, row / s.stride_y * s.output_width + column / s.stride_x);
            if (!ys || ys[at] > 0.f) sum += weight[size_t(o) * taps + tap] * d_ys[at];
        }
    }
    d_xs[s.input(n, c, 0, y, x)] = sum;
}
REGISTER(depthwise_input_gradients);

// Of the gradient of a tap of 32 outputs, or of their bias where it is the one behind the last, a part of the positions: each warp takes
// every so many, and the warps' sums are added in their order. The grid is blocks of outputs by (parts · taps); sums are (parts, taps, O).
KERNEL(depthwise_weight_parts)(const float* d_ys, const float* ys, const float* xs, float* sums, Sizes s, int count, int taps, int length) {
    DYNAMIC_SHARED(float, shared);
    const int outputs = s.groups * s.outputs, area = s.output_height * s.output_width;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, o = blockIdx.x * 32 + lane;
    const int tap = blockIdx.y % taps, first = blockIdx.y / taps * length, end = first + length < count * area ? first + length : count * area;
    const bool bias = tap == s.kernel_height * s.kernel_width;
    float sum = 0.f;
    for (int i = first + warp; i < end && o < outputs; i += warps) {
        const size_t of = s.output(i / area, o, i % area);
        if (ys && !(ys[of] > 0.f)) continue;
        const Tap from(s, i % area, tap / s.kernel_width, tap % s.kernel_width);
        if (bias) sum += d_ys[of];
        else if (from.inside) sum += d_ys[of] * xs[s.input(i / area, o / s.outputs, 0, from.y, from.x)];
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (warp || o >= outputs) return;
    for (int other = 1; other < warps; other++) sum += shared[other * 32 + lane];
    sums[size_t(blockIdx.y) * outputs + o] = sum;
}
REGISTER(depthwise_weight_parts);

// The parts' sums in their order, as a weight (O, taps) and perhaps a bias have them.
KERNEL(depthwise_weight_gradients)(const float* sums, float* d_weight, float* d_bias, int parts, int taps, int outputs, int weight_taps) {
    const size_t i = place();
    if (i >= size_t(taps) * outputs) return;
    const int tap = i / outputs, o = i % outputs;
    float sum = 0.f;
    for (int part = 0; part < parts; part++) sum += sums[(size_t(part) * taps + tap) * outputs + o];
    if (tap == weight_taps) d_bias[o] = sum;
    else d_weight[size_t(o) * weight_taps + tap] = sum;
}
REGISTER(depthwise_weight_gradients);
