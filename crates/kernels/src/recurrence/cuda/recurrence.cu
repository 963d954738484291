// RNN, LSTM and GRU, f32: what a step does beside its product with W_hh.
#include "steps.h"

// xs (N, T, width) → packed (R, width).
KERNEL(pack_steps)(const float* xs, float* packed, Half* half, const unsigned* table, int rows, int steps, int reverse, int width) {
    const Batch batch = {table, rows, steps, reverse};
    const int i = blockIdx.y * blockDim.x + threadIdx.x, sorted = i / width, column = i % width, step = blockIdx.x;
    if (sorted >= rows || step >= batch.length(sorted)) return;
    const size_t at = size_t(batch.start(step) + sorted) * width + column;
    packed[at] = xs[batch.place(sorted, step) * width + column];
    halve(half, at, packed[at]);
}
REGISTER(pack_steps);

// packed (R, width) → xs (N, T, width), with 0 at the steps that a row does not have.
KERNEL(unpack_steps)(const float* packed, float* xs, const unsigned* table, int rows, int steps, int reverse, int width) {
    const Batch batch = {table, rows, steps, reverse};
    const int i = blockIdx.y * blockDim.x + threadIdx.x, sorted = i / width, column = i % width, step = blockIdx.x;
    if (sorted >= rows) return;
    const bool has = step < batch.length(sorted);
    xs[batch.place(sorted, step) * width + column] =
        has ? packed[size_t(batch.start(step) + sorted) * width + column] : 0.f;
}
REGISTER(unpack_steps);

// States (N, H) before the first step: into the first step's rows, or to the last states of rows without steps.
KERNEL(start_states)(const float* h0, const float* c0, float* h, float* c, float* h_last, float* c_last, Half* h_half,
                     const unsigned* table, int rows, int steps, int hidden) {
    const Batch batch = {table, rows, steps, 0};
    const int i = thread(), sorted = i / hidden, column = i % hidden;
    if (sorted >= rows) return;
    const size_t from = size_t(batch.row(sorted)) * hidden + column;
    const bool none = batch.length(sorted) == 0;
    if (none && !h_last) return;
    (none ? h_last : h)[none ? from : i] = h0[from];
    if (!none) halve(h_half, i, h0[from]);
    if (c0) (none ? c_last : c)[none ? from : i] = c0[from];
}
REGISTER(start_states);

// Gradients of the first states from the sorted rows into the batch's order; those of rows without steps are those of their last states.
KERNEL(start_gradients)(const float* dh, const float* dc, const float* dh_last, const float* dc_last, float* dh0, float* dc0,
                        const unsigned* table, int rows, int steps, int hidden) {
    const Batch batch = {table, rows, steps, 0};
    const int i = thread(), sorted = i / hidden, column = i % hidden;
    if (sorted >= rows) return;
    const size_t to = size_t(batch.row(sorted)) * hidden + column;
    const bool none = batch.length(sorted) == 0;
    dh0[to] = !none ? dh[i] : dh_last ? dh_last[to] : 0.f;
    if (dc) dc0[to] = !none ? dc[i] : dc_last ? dc_last[to] : 0.f;
}
REGISTER(start_gradients);

// h = φ(p + b) for p with W_hh h in it; p becomes h.
KERNEL(rnn_forward)(float* p, const float* bias, float* h_next, Half* h_half, float* out, float* h_last, int relu, STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    const float sum = p[s.at()] + (bias ? bias[s.unit] : 0.f), h = relu ? (sum > 0.f || sum != sum ? sum : 0.f) : tanhf(sum);
    p[s.at()] = h;
    out[s.output()] = h;
    s.pass_on(h, h_next, h_last, h_half);
}
REGISTER(rnn_forward);

KERNEL(rnn_backward)(const float* h, const float* dh, const float* dh_last, const float* d_out, float* dp, Half* dp_half, int relu,
                     STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    const float y = h[s.at()], d = s.take(dh, dh_last) + d_out[s.output()];
    const float d_sum = relu ? (y > 0.f ? d : 0.f) : d * (1.f - y * y);
    dp[s.at()] = d_sum;
    halve(dp_half, s.at(), d_sum);
}
REGISTER(rnn_backward);

// i, f, g, o of sums; c' = f c + i g, h = o tanh c'. p becomes the gates.
__device__ __forceinline__ void lstm_cell(const Step& s, const float (&sum)[4], float* p, const float* c, float* h_next, Half* h_half,
                                          float* c_next, float* out, float* h_last, float* c_last) {
    const float i = logistic(sum[0]), f = logistic(sum[1]), g = tanhf(sum[2]), o = logistic(sum[3]);
    const float cell = f * c[s.at()] + i * g, h = o * tanhf(cell);
    p[s.gate(4, 0)] = i, p[s.gate(4, 1)] = f, p[s.gate(4, 2)] = g, p[s.gate(4, 3)] = o;
    out[s.output()] = h;
    s.pass_on(h, h_next, h_last, h_half);
    s.pass_on(cell, c_next, c_last);
}

// From the gradients of a step's h and c those of its sums, in rows of `stride` values, and of the c before it.
__device__ __forceinline__ void lstm_cell_gradients(const Step& s, const float* gates, const float* c, float d_h, float d_after, float* dc,
                                                    float* dp, Half* dp_half, int stride) {
    const float i = gates[s.gate(4, 0)], f = gates[s.gate(4, 1)], g = gates[s.gate(4, 2)], o = gates[s.gate(4, 3)];
    const float before = c[s.at()], tanh_c = tanhf(f * before + i * g), d_c = d_after + d_h * o * (1.f - tanh_c * tanh_c);
    const float d[4] = {d_c * g * i * (1.f - i), d_c * before * f * (1.f - f), d_c * i * (1.f - g * g), d_h * tanh_c * o * (1.f - o)};
    for (int k = 0; k < 4; k++) {
        const size_t at = size_t(s.sorted) * stride + k * s.hidden + s.unit;
        dp[at] = d[k];
        halve(dp_half, at, d[k]);
    }
    dc[s.at()] = d_c * f;
}

// The LSTM for p with W_hh h in it, or with W_hh h in rows of `more`.
KERNEL(lstm_forward)(float* p, const float* more, int more_stride, const float* bias, const float* c, float* h_next, Half* h_half,
                     float* c_next, float* out, float* h_last, float* c_last, STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    float sum[4];
    for (int k = 0; k < 4; k++) {
        sum[k] = p[s.gate(4, k)] + (bias ? bias[k * hidden + s.unit] : 0.f);
        if (more) sum[k] += more[size_t(s.sorted) * more_stride + k * hidden + s.unit];
    }
    lstm_cell(s, sum, p, c, h_next, h_half, c_next, out, h_last, c_last);
}
REGISTER(lstm_forward);

// dp has rows of `stride` values.
KERNEL(lstm_backward)(const float* gates, const float* c, const float* dh, float* dc, const float* dh_last, const float* dc_last,
                      const float* d_out, float* dp, Half* dp_half, int stride, STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    const float d_h = s.take(dh, dh_last) + d_out[s.output()];
    lstm_cell_gradients(s, gates, c, d_h, s.take(dc, dc_last), dc, dp, dp_half, stride);
}
REGISTER(lstm_backward);

// All steps of an LSTM in one launch of the whole grid, for products of half precision: a block has 8 units, keeps their part of W_hh in shared memory,
// multiplies it at each step with what all blocks have written, its 8 warps sharing out the terms, and waits for the grid. H is a multiple
// of 16.
constexpr int UNITS = 8, WARPS = 8;

// Sums (WARPS, 16, 8 · TILES) of rows x, of which there are `rows`, times the transpose of weights (8 · TILES, pitch): each warp has every
// so many terms.
template <int TILES>
__device__ __forceinline__ void multiply(const Half* x, int rows, int terms, const Half* weights, int pitch, float* sums) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    float sum[TILES][4] = {};
    for (int k = warp * 16 + q * 2; k < terms; k += WARPS * 16) {
        uint32_t a[4];
        for (int i = 0; i < 4; i++) {
            const int row = g + i % 2 * 8;
            a[i] = row < rows ? fresh(x + size_t(row) * terms + k + i / 2 * 8) : 0;
        }
        for (int tile = 0; tile < TILES; tile++) {
            const Half* w = weights + (tile * 8 + g) * pitch + k;
            const uint32_t b[2] = {two(w), two(w + 8)};
            mma_half(sum[tile], a, b);
        }
    }
    for (int tile = 0; tile < TILES; tile++)
        for (int i = 0; i < 4; i++) sums[(warp * 16 + g + i / 2 * 8) * 8 * TILES + tile * 8 + q * 2 + i % 2] = sum[tile][i];
}

KERNEL(lstm_sequence)(float* p, const Half* w_hh, const float* bias, float* h, Half* h_half, float* c, float* out, float* h_last,
                      float* c_last, unsigned* arrived, const unsigned* table, int rows, int steps, int reverse, int count, int hidden) {
    DYNAMIC_SHARED(float, sums);  // (WARPS, 16, 4 · UNITS), and then the rows of W_hh (4 · UNITS, pitch)
    const int pitch = hidden + 8, width = 4 * UNITS;
    Half* weights = reinterpret_cast<Half*>(sums + WARPS * 16 * width);
    for (int i = threadIdx.x; i < width * hidden; i += blockDim.x) {
        const int row = i / hidden, k = i % hidden;
        weights[row * pitch + k] = w_hh[(size_t(row / UNITS) * hidden + blockIdx.x * UNITS + row % UNITS) * hidden + k];
    }
    __syncthreads();
    const Batch batch = {table, rows, steps, reverse};
    for (int step = 0; step < count; step++) {
        const int active = batch.active(step), next_active = step + 1 < count ? batch.active(step + 1) : 0;
        const size_t at = size_t(batch.start(step)) * hidden, next = size_t(batch.start(step) + active) * hidden;
        for (int first = 0; first < active; first += 16) {
            multiply<4>(h_half + at + size_t(first) * hidden, active - first, hidden, weights, pitch, sums);
            __syncthreads();
            Step s(STEP_ARGUMENTS);
            const int row = threadIdx.x / UNITS, unit = threadIdx.x % UNITS;
            s.sorted = first + row, s.unit = blockIdx.x * UNITS + unit;
            if (row < 16 && s.sorted < active) {
                float sum[4];
                for (int k = 0; k < 4; k++) {
                    sum[k] = p[4 * at + s.gate(4, k)] + (bias ? bias[k * hidden + s.unit] : 0.f);
                    for (int w = 0; w < WARPS; w++) sum[k] += sums[(w * 16 + row) * width + k * UNITS + unit];
                }
                lstm_cell(s, sum, p + 4 * at, c + at, h + next, h_half + next, c + next, out, h_last, c_last);
            }
            __syncthreads();
        }
        grid_barrier(arrived, step + 1);
    }
}
REGISTER(lstm_sequence);

KERNEL(lstm_sequence_gradients)(const float* gates, const float* c, const Half* w_hh, const float* d_out, const float* dh_last,
                                const float* dc_last, float* dh, float* dc, float* dp, Half* dp_half, unsigned* arrived,
                                const unsigned* table, int rows, int steps, int reverse, int count, int hidden) {
    DYNAMIC_SHARED(float, sums);  // (WARPS, 16, UNITS), then the gradient of h (rows, UNITS), and the columns of W_hh (UNITS, pitch)
    const int wide = 4 * hidden, pitch = wide + 8;
    float* own = sums + WARPS * 16 * UNITS;
    Half* weights = reinterpret_cast<Half*>(own + rows * UNITS);
    for (int i = threadIdx.x; i < UNITS * wide; i += blockDim.x)
        weights[i % UNITS * pitch + i / UNITS] = w_hh[size_t(i / UNITS) * hidden + blockIdx.x * UNITS + i % UNITS];
    __syncthreads();
    const Batch batch = {table, rows, steps, reverse};
    for (int step = count - 1; step >= 0; step--) {
        const int active = batch.active(step), next_active = step + 1 < count ? batch.active(step + 1) : 0;
        const size_t at = size_t(batch.start(step)) * hidden;
        Step s(STEP_ARGUMENTS);
        for (int i = threadIdx.x; i < active * UNITS; i += blockDim.x) {
            s.sorted = i / UNITS, s.unit = blockIdx.x * UNITS + i % UNITS;
            const float last = dh_last ? dh_last[size_t(batch.row(s.sorted)) * hidden + s.unit] : 0.f;
            const float d_h = (s.sorted < next_active ? own[i] : last) + d_out[s.output()];
            lstm_cell_gradients(s, gates + 4 * at, c + at, d_h, s.take(dc, dc_last), dc, dp + 4 * at, dp_half + 4 * at, wide);
        }
        grid_barrier(arrived, count - step);
        for (int first = 0; first < active; first += 16) {
            multiply<1>(dp_half + 4 * at + size_t(first) * wide, active - first, wide, weights, pitch, sums);
            __syncthreads();
            const int row = threadIdx.x / UNITS, unit = threadIdx.x % UNITS;
            if (row < 16 && first + row < active) {
                float sum = 0.f;
                for (int w = 0; w < WARPS; w++) sum += sums[(w * 16 + row) * UNITS + unit];
                own[(first + row) * UNITS + unit] = sum;
                if (step == 0) dh[size_t(first + row) * hidden + blockIdx.x * UNITS + unit] = sum;
            }
            __syncthreads();
        }
    }
}
REGISTER(lstm_sequence_gradients);

// r, z of p + u, n = tanh(p_n + r u_n), h' = (1 − z) n + z h for u = W_hh h. p becomes the gates, u_n gets its bias.
KERNEL(gru_forward)(float* p, const float* bias, float* u, const float* bias_hh, const float* h, float* h_next, Half* h_half,
                    float* out, float* h_last, STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    float in[3], hid[3];
    for (int k = 0; k < 3; k++) {
        in[k] = p[s.gate(3, k)] + (bias ? bias[k * hidden + s.unit] : 0.f);
        hid[k] = u[s.gate(3, k)] + (bias_hh ? bias_hh[k * hidden + s.unit] : 0.f);
    }
    const float r = logistic(in[0] + hid[0]), z = logistic(in[1] + hid[1]), n = tanhf(in[2] + r * hid[2]);
    const float y = (1.f - z) * n + z * h[s.at()];
    p[s.gate(3, 0)] = r, p[s.gate(3, 1)] = z, p[s.gate(3, 2)] = n;
    u[s.gate(3, 2)] = hid[2];
    out[s.output()] = y;
    s.pass_on(y, h_next, h_last, h_half);
}
REGISTER(gru_forward);

// dp and du differ in n, which W_hh h reaches through r. dh becomes what flows by z; the product with W_hh is added to it.
KERNEL(gru_backward)(const float* gates, const float* u, const float* h, float* dh, const float* dh_last, const float* d_out,
                     float* dp, Half* dp_half, float* du, Half* du_half, STEP_PARAMETERS) {
    const Step s(STEP_ARGUMENTS);
    if (!s.mine) return;
    const float r = gates[s.gate(3, 0)], z = gates[s.gate(3, 1)], n = gates[s.gate(3, 2)];
    const float d = s.take(dh, dh_last) + d_out[s.output()], dn = d * (1.f - z) * (1.f - n * n);
    const float dr = dn * u[s.gate(3, 2)] * r * (1.f - r), dz = d * (h[s.at()] - n) * z * (1.f - z);
    const float of_p[3] = {dr, dz, dn}, of_u[3] = {dr, dz, dn * r};
    for (int k = 0; k < 3; k++) {
        dp[s.gate(3, k)] = of_p[k];
        du[s.gate(3, k)] = of_u[k];
        halve(dp_half, s.gate(3, k), of_p[k]);
        halve(du_half, s.gate(3, k), of_u[k]);
    }
    dh[s.at()] = d * z;
}
REGISTER(gru_backward);
