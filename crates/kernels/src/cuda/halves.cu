// Values in bf16 for products.
#include "steps.h"

// Two arrays at once, of which the second may be empty.
KERNEL(to_bf16)(const float* first, bf16* first_half, int first_count, const float* second, bf16* second_half, int second_count) {
    const int i = thread();
    if (i < first_count) first_half[i] = __float2bfloat16(first[i]);
    else if (i < first_count + second_count) second_half[i - first_count] = __float2bfloat16(second[i - first_count]);
}
REGISTER(to_bf16);
