// Additive attention within an LSTM, f32: what a step does beside its products and the LSTM's gates.
//
// A step's rows of sums (rows, A + C + 4H) hold W_q h, W_β h where there is a gate β, and W_hh h. Row n of keys (N, P, A) and annotations
// (N, P, C) has `counts[n]` positions, or all P without counts.
#include "steps.h"

#define ROW_PARAMETERS const unsigned *table, int rows, int steps, int step, const unsigned *counts, int positions
#define ROW_ARGUMENTS table, rows, steps, step, counts, positions

// A row of the batch at a step: one for each of a grid's columns.
struct AttendingRow {
    Batch batch;
    int sorted, row, step, positions, has;

    __device__ AttendingRow(const unsigned* table, int rows, int steps, int step, const unsigned* counts, int positions)
        : batch{table, rows, steps, 0}, sorted(blockIdx.x), step(step), positions(positions) {
        row = batch.row(sorted);
        has = counts ? int(counts[row]) : positions;
    }
    // Position p of this row's keys or annotations.
    __device__ size_t key(int p, int width) const { return (size_t(row) * positions + p) * width; }
    // This row's step in a tensor (N, T, width).
    __device__ size_t output(int width) const { return batch.place(sorted, step) * width; }
};

__device__ __forceinline__ float warp_sum(float x) {
    for (int by = 16; by; by /= 2) x += __shfl_xor_sync(~0u, x, by);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (int by = 16; by; by /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, by));
    return x;
}

// e_p = v · tanh(k_p + q + b_q): a warp for each position.
KERNEL(attention_scores)(const float* keys, const float* sums, int sums_stride, const float* query_bias, const float* v,
                         float* scores, int width, ROW_PARAMETERS) {
    const AttendingRow r(ROW_ARGUMENTS);
    const int lane = threadIdx.x % 32, p = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (p >= r.has) return;
    const float *key = keys + r.key(p, width), *query = sums + size_t(r.sorted) * sums_stride;
    float sum = 0.f;
    for (int a = lane; a < width; a += 32) sum += v[a] * tanhf(key[a] + query[a] + query_bias[a]);
    sum = warp_sum(sum);
    if (lane == 0) scores[size_t(r.sorted) * positions + p] = sum;
}
REGISTER(attention_scores);

// α = softmax(e), z = Σ_p α_p a_p, β = σ(W_β h + b_β), ẑ = β z: a thread for each channel. Where there are numbers drawn, z is the annotation
// at the first position at which the sum of α so far exceeds the number, or at the last that has any weight.
KERNEL(attention_context)(const float* scores, const float* annotations, const float* gate, int gate_stride,
                          const float* gate_bias, float* alpha, float* alpha_out, const float* draws, float* chosen,
                          float* chosen_out, float* z, float* beta, float* gated, Half* gated_half, float* gated_out,
                          int channels, ROW_PARAMETERS) {
    DYNAMIC_SHARED(float, weights);
    const AttendingRow r(ROW_ARGUMENTS);
    const float* e = scores + size_t(r.sorted) * positions;
    const int lane = threadIdx.x % 32, c = blockIdx.y * blockDim.x + threadIdx.x;
    // Every warp forms the same maximum and the same sum.
    float largest = -INFINITY, total = 0.f;
    for (int p = lane; p < r.has; p += 32) largest = fmaxf(largest, e[p]);
    largest = warp_max(largest);
    for (int p = lane; p < r.has; p += 32) total += __expf(e[p] - largest);
    total = warp_sum(total);
    for (int p = threadIdx.x; p < positions; p += blockDim.x) {
        const float weight = p < r.has ? __expf(e[p] - largest) / total : 0.f;
        weights[p] = weight;
        if (blockIdx.y == 0) alpha[size_t(r.sorted) * positions + p] = alpha_out[r.output(positions) + p] = weight;
    }
    __syncthreads();
    if (draws) {
        if (threadIdx.x == 0) {
            const float draw = draws[r.output(1)];
            float sum = 0.f;
            int at = -1, last = 0;
            for (int p = 0; p < r.has && at < 0; p++) {
                sum += weights[p];
                if (draw < sum) at = p;
                if (weights[p] > 0.f) last = p;
            }
            weights[positions] = at < 0 ? last : at;
            if (blockIdx.y == 0) chosen[r.sorted] = chosen_out[r.output(1)] = weights[positions];
        }
        __syncthreads();
    }
    if (c >= channels) return;
    float mean = draws ? annotations[r.key(int(weights[positions]), channels) + c] : 0.f;
    for (int p = 0; p < r.has && !draws; p++) mean += weights[p] * annotations[r.key(p, channels) + c];
    const size_t at = size_t(r.sorted) * channels + c;
    const float b = gate ? logistic(gate[size_t(r.sorted) * gate_stride + c] + gate_bias[c]) : 1.f;
    z[at] = mean;
    if (gate) beta[at] = b;
    gated[at] = gated_out[r.output(channels) + c] = b * mean;
    halve(gated_half, at, b * mean);
}
REGISTER(attention_context);

// From the gradient of ẑ those of z, of W_β h + b_β and of α, which a draw does not reach: a warp for each position.
KERNEL(attention_alpha_gradients)(const float* d_gated, const float* d_gated_out, const float* d_alpha_out,
                                  const float* annotations, int drawn, const float* z, const float* beta, float* dz, float* d_gate,
                                  Half* d_gate_half, int d_gate_stride, float* d_alpha, int channels, ROW_PARAMETERS) {
    DYNAMIC_SHARED(float, of_z);
    const AttendingRow r(ROW_ARGUMENTS);
    for (int c = threadIdx.x; c < channels; c += blockDim.x) {
        const size_t at = size_t(r.sorted) * channels + c;
        const float d = d_gated[at] + d_gated_out[r.output(channels) + c], b = beta ? beta[at] : 1.f;
        of_z[c] = d * b;
        if (blockIdx.y) continue;
        dz[at] = d * b;
        if (!beta) continue;
        const size_t onto = size_t(r.sorted) * d_gate_stride + c;
        d_gate[onto] = d * z[at] * b * (1.f - b);
        halve(d_gate_half, onto, d_gate[onto]);
    }
    __syncthreads();
    const int lane = threadIdx.x % 32, p = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (p >= r.has) return;
    float sum = 0.f;
    for (int c = lane; c < channels && !drawn; c += 32) sum += of_z[c] * annotations[r.key(p, channels) + c];
    sum = warp_sum(sum);
    if (lane == 0) d_alpha[size_t(r.sorted) * positions + p] = sum + d_alpha_out[r.output(positions) + p];
}
REGISTER(attention_alpha_gradients);

// From the gradient of α those of e and of W_q h + b_q: a thread for each value of the query.
KERNEL(attention_query_gradients)(const float* alpha, const float* d_alpha, const float* keys, const float* sums,
                                  int sums_stride, const float* query_bias, const float* v, float* d_scores, float* d_sums,
                                  Half* d_sums_half, int width, ROW_PARAMETERS) {
    DYNAMIC_SHARED(float, of_score);
    const AttendingRow r(ROW_ARGUMENTS);
    const size_t first = size_t(r.sorted) * positions;
    const int lane = threadIdx.x % 32, a = blockIdx.y * blockDim.x + threadIdx.x;
    float mean = 0.f;
    for (int p = lane; p < r.has; p += 32) mean += alpha[first + p] * d_alpha[first + p];
    mean = warp_sum(mean);
    for (int p = threadIdx.x; p < positions; p += blockDim.x) {
        const float d = p < r.has ? alpha[first + p] * (d_alpha[first + p] - mean) : 0.f;
        of_score[p] = d;
        if (blockIdx.y == 0) d_scores[first + p] = d;
    }
    __syncthreads();
    if (a >= width) return;
    const float query = sums[size_t(r.sorted) * sums_stride + a] + query_bias[a];
    float sum = 0.f;
    for (int p = 0; p < r.has; p++) {
        const float y = tanhf(keys[r.key(p, width) + a] + query);
        sum += of_score[p] * (1.f - y * y);
    }
    const size_t onto = size_t(r.sorted) * sums_stride + a;
    d_sums[onto] = v[a] * sum;
    halve(d_sums_half, onto, v[a] * sum);
}
REGISTER(attention_query_gradients);

// Over all steps of a row (blockIdx.x) the gradients of the key at a position (blockIdx.y), and this key's part in that of v (N P, A).
KERNEL(attention_key_gradients)(const float* keys, const float* sums, int sums_stride, const float* query_bias, const float* v,
                                const float* d_scores, float* d_keys, float* d_v, int width, ROW_PARAMETERS) {
    const AttendingRow r(ROW_ARGUMENTS);
    const int p = blockIdx.y;
    const size_t key = r.key(p, width);
    for (int a = threadIdx.x; a < width; a += blockDim.x) {
        float d_key = 0.f, of_v = 0.f;
        for (int s = 0; s < r.batch.length(r.sorted); s++) {
            const size_t at = size_t(r.batch.start(s)) + r.sorted;
            const float d = d_scores[at * positions + p], y = tanhf(keys[key + a] + sums[at * sums_stride + a] + query_bias[a]);
            d_key += d * (1.f - y * y);
            of_v += d * y;
        }
        d_keys[key + a] = v[a] * d_key;
        d_v[key + a] = of_v;
    }
}
REGISTER(attention_key_gradients);

// Over all steps of a row the gradient of its annotation at a position.
KERNEL(attention_annotation_gradients)(const float* alpha, const float* chosen, const float* dz, float* d_annotations, int channels,
                                       ROW_PARAMETERS) {
    const AttendingRow r(ROW_ARGUMENTS);
    const int p = blockIdx.y;
    for (int c = threadIdx.x; c < channels; c += blockDim.x) {
        float sum = 0.f;
        for (int s = 0; s < r.batch.length(r.sorted); s++) {
            const size_t at = size_t(r.batch.start(s)) + r.sorted;
            const float weight = !chosen ? alpha[at * positions + p] : int(chosen[at]) == p ? 1.f : 0.f;
            sum += weight * dz[at * channels + c];
        }
        d_annotations[r.key(p, channels) + c] = sum;
    }
}
REGISTER(attention_annotation_gradients);

// Matrices of the same width below each other: `second` may be null.
KERNEL(stack_rows)(const float* first, const float* second, const float* third, float* all, Half* half, int first_count,
                   int second_count, int third_count) {
    const int i = thread();
    if (i >= first_count + second_count + third_count) return;
    if (i < first_count) all[i] = first[i];
    else if (i < first_count + second_count) all[i] = second[i - first_count];
    else all[i] = third[i - first_count - second_count];
    halve(half, i, all[i]);
}
REGISTER(stack_rows);
