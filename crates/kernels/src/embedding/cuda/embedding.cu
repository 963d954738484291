// Rows of a table (V, E) by numbers, f32. `words` is 2 where the numbers have 64 bits, of which the lower are read.
#include "steps.h"

// ys (N, E); NaN where there is no such row.
KERNEL(embedding_rows)(const float* weight, const unsigned* ids, int words, int count, float* ys, int rows, int width) {
    const int i = thread();
    if (i >= count * width) return;
    const unsigned id = ids[size_t(i / width) * words];
    ys[i] = id < unsigned(rows) ? weight[size_t(id) * width + i % width] : NAN;
}
REGISTER(embedding_rows);

// The gradient of each row (blockIdx.x): the sum over its places in their order.
KERNEL(embedding_gradients)(const float* dys, const unsigned* ids, int words, int count, float* d_weight, int width) {
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0.f;
    for (int i = 0; i < count; i++)
        if (ids[size_t(i) * words] == blockIdx.x) sum += dys[size_t(i) * width + column];
    d_weight[size_t(blockIdx.x) * width + column] = sum;
}
REGISTER(embedding_gradients);
