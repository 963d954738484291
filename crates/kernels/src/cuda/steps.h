// The steps of a batch of sequences, as kernels see them.
//
// Rows of the batch are sorted from the longest to the shortest, so that those which have a step are the first `active` ones; what belongs
// to steps is packed, step behind step, each with its active rows. `table` holds for the sorted rows first which row of the batch they are,
// then how many steps they have, and then where each step's rows start; it is null where all rows have all steps in the batch's order.
#pragma once
#include "device.h"

struct Batch {
    const unsigned* table;
    int rows, steps, reverse;

    __device__ int row(int sorted) const { return table ? int(table[sorted]) : sorted; }
    __device__ int length(int sorted) const { return table ? int(table[rows + sorted]) : steps; }
    __device__ int start(int step) const { return table ? int(table[2 * rows + step]) : step * rows; }
    // How many rows have a step, of those before the last one's end.
    __device__ int active(int step) const { return table ? start(step + 1) - start(step) : rows; }
    // Which step of the tensors a row's step is, of those that it has; behind them it is the step itself.
    __device__ int time(int sorted, int step) const {
        const int has = length(sorted);
        return reverse && step < has ? has - 1 - step : step;
    }
    // The place of a row's step among the rows of a tensor (N, T, ·).
    __device__ size_t place(int sorted, int step) const { return size_t(row(sorted)) * steps + time(sorted, step); }
};

__device__ __forceinline__ float logistic(float x) { return 1.f / (1.f + __expf(-x)); }
// A value in half precision beside the one in f32, where there is room for it.
__device__ __forceinline__ void halve(Half* half, size_t at, float value) {
    if (half) half[at] = to_half(value);
}
__device__ __forceinline__ int thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// A step of a cell: what it shares with all steps, and where its results go.
struct Step {
    Batch batch;
    int step, active, next_active, hidden;
    int sorted, unit;
    bool mine;

    __device__ Step(const unsigned* table, int rows, int steps, int reverse, int step, int active, int next_active, int hidden)
        : batch{table, rows, steps, reverse}, step(step), active(active), next_active(next_active), hidden(hidden) {
        const int i = thread();
        sorted = i / hidden, unit = i % hidden, mine = sorted < active;
    }
    // Among (rows, H).
    __device__ size_t at() const { return size_t(sorted) * hidden + unit; }
    // Gate k among (rows, gates · H).
    __device__ size_t gate(int gates, int k) const { return (size_t(sorted) * gates + k) * hidden + unit; }
    // Among the outputs (N, T, H).
    __device__ size_t output() const { return batch.place(sorted, step) * hidden + unit; }
    // A new state goes to the next step's rows, in half precision too where products are of that, or, where they are wanted, to the last states (N, H)
    // of a row that ends here.
    __device__ void pass_on(float value, float* next, float* last, Half* next_half = nullptr) const {
        if (sorted < next_active) {
            next[at()] = value;
            halve(next_half, at(), value);
        } else if (last) last[size_t(batch.row(sorted)) * hidden + unit] = value;
    }
    // On the way back: what comes from the next step, or from the last state of a row that ends here.
    __device__ float take(const float* next, const float* last) const {
        if (sorted < next_active) return next[at()];
        return last ? last[size_t(batch.row(sorted)) * hidden + unit] : 0.f;
    }
};

#define STEP_PARAMETERS \
    const unsigned *table, int rows, int steps, int reverse, int step, int active, int next_active, int hidden
#define STEP_ARGUMENTS table, rows, steps, reverse, step, active, next_active, hidden
