// The bias of a linear layer, to which the product is added.
#include "device.h"

KERNEL(bias_rows)(const float* bias, float* rows, int count, int width) {
    const size_t i = place();
    if (i < size_t(count) * width) rows[i] = bias[i % width];
}
REGISTER(bias_rows);
