// Sums of columns of one or two xs (rows, width), 32 columns a block: its warps share out the rows, and add up in one order.
#include "device.h"

KERNEL(column_sums)(const float* first, const float* second, float* first_sums, float* second_sums, int rows, int width) {
    DYNAMIC_SHARED(float, parts);
    const float* xs = blockIdx.y ? second : first;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, column = blockIdx.x * 32 + lane;
    float sum = 0.f;
    if (column < width)
        for (int row = warp; row < rows; row += warps) sum += xs[size_t(row) * width + column];
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (warp || column >= width) return;
    for (int w = 1; w < warps; w++) sum += parts[w * 32 + lane];
    (blockIdx.y ? second_sums : first_sums)[column] = sum;
}
REGISTER(column_sums);
