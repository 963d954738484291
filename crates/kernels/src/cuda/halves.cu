// Values in half precision for products.
#include "steps.h"

// Two arrays at once, of which the second may be empty.
KERNEL(in_half)(const float* first, Half* first_half, int first_count, const float* second, Half* second_half, int second_count) {
    const size_t i = place();
    if (i < first_count) first_half[i] = to_half(first[i]);
    else if (i < size_t(first_count) + second_count) second_half[i - first_count] = to_half(second[i - first_count]);
}
REGISTER(in_half);
