// What a kernel's source sees of the machine it is compiled for: CUDA by nvcc, the emulator by any C++ compiler.
#pragma once
#ifdef __CUDACC__

#include <stdint.h>

// What sides of products are rounded to: bf16, or f16 where the source is compiled for that.
#ifdef HALF_IS_F16
#include <cuda_fp16.h>
typedef __half Half;
#define HALF_NAME "f16"
__device__ __forceinline__ Half to_half(float x) { return __float2half(x); }
#else
#include <cuda_bf16.h>
typedef __nv_bfloat16 Half;
#define HALF_NAME "bf16"
__device__ __forceinline__ Half to_half(float x) { return __float2bfloat16(x); }
#endif

#define KERNEL(name) extern "C" __global__ void name
#define REGISTER(name)
#define DYNAMIC_SHARED(type, name)                                    \
    extern __shared__ __align__(16) unsigned char name##_bytes[];     \
    type* name = reinterpret_cast<type*>(name##_bytes)

// A value that another block has released.
__device__ __forceinline__ unsigned acquire(const unsigned* at) {
    unsigned value;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
    return value;
}

// Adds one after all that this thread has written.
__device__ __forceinline__ void release_one(unsigned* at) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(at) : "memory");
}

__device__ __forceinline__ void spin() {}

// Two of half precision that another block has written, past what this multiprocessor remembers of them.
__device__ __forceinline__ uint32_t fresh(const Half* at) { return __ldcg(reinterpret_cast<const unsigned*>(at)); }

// d (16, 8) += a (16, 16) b (16, 8) in the fragments of mma.m16n8k16.
__device__ __forceinline__ void mma_half(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32." HALF_NAME "." HALF_NAME ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The nearest TF32, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// d (16, 8) += a (16, 8) b (8, 8) in the fragments of mma.m16n8k8.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else
#include "emulator.h"
#endif

// Two of half precision.
__device__ __forceinline__ uint32_t two(const Half* at) { return *reinterpret_cast<const uint32_t*>(at); }

// All blocks of a cooperative launch wait for each other. `arrived` counts from 0 for the launch; `round` is 1 for the first barrier.
__device__ __forceinline__ void grid_barrier(unsigned* arrived, unsigned round) {
    __syncthreads();
    if (threadIdx.x == 0) {
        release_one(arrived);
        while (acquire(arrived) < round * gridDim.x) spin();
    }
    __syncthreads();
}

// The number of a thread among those of all blocks in a row.
__device__ __forceinline__ size_t place() { return size_t(blockIdx.x) * blockDim.x + threadIdx.x; }
