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

// columns (rows, channels · kernel): the inputs of each output of a group; in bf16 alone where there is room for that.
KERNEL(conv_gather)(const float* xs, float* columns, bf16* half, Sizes s, int first, int count, int group) {
    const int depth = s.channels * s.kernel_height * s.kernel_width, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * area * depth) return;
    const int column = i % depth, n = i / depth / area, at = i / depth % area;
    const int c = column / (s.kernel_height * s.kernel_width), u = column / s.kernel_width % s.kernel_height, v = column % s.kernel_width;
    const Tap tap(s, at, u, v);
    const float value = tap.inside ? xs[s.input(first + n, group, c, tap.y, tap.x)] : 0.f;
    if (half) half[i] = __float2bfloat16(value);
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
KERNEL(conv_rows)(const float* d_ys, const float* ys, float* rows, bf16* half, Sizes s, int first, int count) {
    const int outputs = s.groups * s.outputs, area = s.output_height * s.output_width;
    const size_t i = place();
    if (i >= size_t(count) * area * outputs) return;
    const size_t from = s.output(first + i / outputs / area, i % outputs, i / outputs % area);
    rows[i] = !ys || ys[from] > 0.f ? d_ys[from] : 0.f;
    if (half) half[i] = __float2bfloat16(rows[i]);
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
