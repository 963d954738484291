// Pooling of maps, f32, NCHW and NHWC. `windows` has for each row of outputs, and then for each column, where its window starts and ends and
// what a mean divides by, and behind that for each row of inputs, and for each column, the first window that ends behind it. A thread goes
// through a window, and on the way back through the windows that cover an input.
#include "device.h"

struct Pool {
    int channels, height, width, output_height, output_width, nhwc;

    __device__ size_t input(int n, int c, int y, int x) const {
        return nhwc ? ((size_t(n) * height + y) * width + x) * channels + c : ((size_t(n) * channels + c) * height + y) * width + x;
    }
    __device__ size_t output(int n, int c, int i, int j) const {
        return nhwc ? ((size_t(n) * output_height + i) * output_width + j) * channels + c
                    : ((size_t(n) * channels + c) * output_height + i) * output_width + j;
    }
    __device__ const int* row(const int* windows, int i) const { return windows + 3 * i; }
    __device__ const int* column(const int* windows, int j) const { return windows + 3 * (output_height + j); }
    __device__ int first_row(const int* windows, int y) const { return windows[3 * (output_height + output_width) + y]; }
    __device__ int first_column(const int* windows, int x) const { return windows[3 * (output_height + output_width) + height + x]; }
};

// A map's value by the thread's number, with the channel running fastest in NHWC.
struct Place {
    int n, c, y, x;
    __device__ Place(size_t i, int channels, int height, int width, int nhwc) {
        if (nhwc) c = i % channels, i /= channels;
        x = i % width, y = i / width % height, i /= size_t(width) * height;
        if (nhwc) n = i;
        else c = i % channels, n = i / channels;
    }
};

#define POOL_PARAMETERS const int *windows, int channels, int height, int width, int output_height, int output_width, int nhwc, int count
#define POOL Pool{channels, height, width, output_height, output_width, nhwc}

// The largest value of each window, a NaN if there is one, and where it is: the first of equal ones.
KERNEL(max_pool)(const float* xs, float* ys, int* largest, POOL_PARAMETERS) {
    const Pool p = POOL;
    if (place() >= size_t(count)) return;
    const Place at(place(), channels, output_height, output_width, nhwc);
    const int *rows = p.row(windows, at.y), *columns = p.column(windows, at.x);
    float best = -INFINITY;
    int where = rows[0] * width + columns[0];
    for (int y = rows[0]; y < rows[1]; y++)
        for (int x = columns[0]; x < columns[1]; x++) {
            const float value = xs[p.input(at.n, at.c, y, x)];
            if (value > best || (value != value && best == best)) best = value, where = y * width + x;
        }
    ys[p.output(at.n, at.c, at.y, at.x)] = best;
    largest[p.output(at.n, at.c, at.y, at.x)] = where;
}
REGISTER(max_pool);

KERNEL(avg_pool)(const float* xs, float* ys, POOL_PARAMETERS) {
    const Pool p = POOL;
    if (place() >= size_t(count)) return;
    const Place at(place(), channels, output_height, output_width, nhwc);
    const int *rows = p.row(windows, at.y), *columns = p.column(windows, at.x);
    float sum = 0.f;
    for (int y = rows[0]; y < rows[1]; y++)
        for (int x = columns[0]; x < columns[1]; x++) sum += xs[p.input(at.n, at.c, y, x)];
    ys[p.output(at.n, at.c, at.y, at.x)] = sum / (rows[2] * columns[2]);
}
REGISTER(avg_pool);

// The gradient of each input: of the windows that cover it those whose largest value it is, or with `largest` null all, with their shares.
KERNEL(pool_gradients)(const float* d_ys, const int* largest, float* d_xs, POOL_PARAMETERS) {
    const Pool p = POOL;
    if (place() >= size_t(count)) return;
    const Place at(place(), channels, height, width, nhwc);
    const int own = at.y * width + at.x;
    float sum = 0.f;
    for (int i = p.first_row(windows, at.y); i < output_height; i++) {
        const int* rows = p.row(windows, i);
        if (at.y < rows[0]) break;
        for (int j = p.first_column(windows, at.x); j < output_width; j++) {
            const int* columns = p.column(windows, j);
            if (at.x < columns[0]) break;
            const size_t from = p.output(at.n, at.c, i, j);
            if (!largest) sum += d_ys[from] / (rows[2] * columns[2]);
            else if (largest[from] == own) sum += d_ys[from];
        }
    }
    d_xs[p.input(at.n, at.c, at.y, at.x)] = sum;
}
REGISTER(pool_gradients);
