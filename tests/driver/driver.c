// Stands where CUDA's driver, cuBLAS, cuRAND and the CUDA runtime are asked for: keeps memory, computes nothing, and counts what it is asked.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Status;
typedef void* Handle;
typedef uint64_t Address;

static struct Counts {
    long launches, products, allocations, uploads, downloads, copies, fills, events, waits;
} counts;

// What was asked since the last time, by name: "launches", "products", "allocations", "uploads", "downloads", "copies", "fills", "events",
// "waits"; then all start from 0.
void driver_counts(long* into) {
    memcpy(into, &counts, sizeof counts);
    memset(&counts, 0, sizeof counts);
}

// Names of kernels and products in their order, where CANDLEWICK_DRIVER_LOG names a file.
static void note(const char* what) {
    const char* path = getenv("CANDLEWICK_DRIVER_LOG");
    if (!path) return;
    FILE* file = fopen(path, "a");
    if (!file) return;
    fprintf(file, "%s\n", what);
    fclose(file);
}

Status cuInit(unsigned flags) { return 0; }
Status cuDriverGetVersion(int* version) { return *version = 13000, 0; }
Status cuDeviceGetCount(int* count) { return *count = 1, 0; }
Status cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
Status cuDeviceGetName(char* name, int room, int device) { return snprintf(name, room, "a driver that counts"), 0; }
Status cuDeviceTotalMem_v2(size_t* bytes, int device) { return *bytes = 1ull << 37, 0; }
Status cuDeviceGetUuid_v2(char* uuid, int device) { return memset(uuid, 0, 16), 0; }
Status cuDevicePrimaryCtxRetain(Handle* context, int device) { return *context = (Handle)1, 0; }
Status cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
Status cuDeviceGetDefaultMemPool(Handle* pool, int device) { return *pool = (Handle)3, 0; }
Status cuMemPoolSetAttribute(Handle pool, int attribute, void* value) { return 0; }
Status cuMemPoolGetAttribute(Handle pool, int attribute, void* value) { return 0; }
Status cuCtxSetCurrent(Handle context) { return 0; }
Status cuCtxGetCurrent(Handle* context) { return *context = (Handle)1, 0; }
Status cuCtxGetDevice(int* device) { return *device = 0, 0; }
Status cuCtxDestroy_v2(Handle context) { return 0; }


// An H200's.
Status cuDeviceGetAttribute(int* value, int attribute, int device) {
    switch (attribute) {
        case 1: *value = 1024; break;    // threads of a block
        case 10: *value = 32; break;     // of a warp
        case 16: *value = 132; break;    // multiprocessors
        case 75: *value = 9; break;      // compute capability
        case 76: *value = 0; break;
        case 81: *value = 233472; break; // bytes of shared memory of a multiprocessor
        case 97: *value = 232448; break; // and of a block
        default: *value = 1;
    }
    return 0;
}

Status cuStreamCreate(Handle* stream, unsigned flags) {
    static long next = 16;
    return *stream = (Handle)next++, 0;
}
Status cuStreamCreateWithPriority(Handle* stream, unsigned flags, int priority) { return cuStreamCreate(stream, flags); }
Status cuStreamDestroy_v2(Handle stream) { return 0; }
Status cuStreamIsCapturing(Handle stream, int* capturing) { return *capturing = 0, 0; }
// What streams have been asked for and have not done: copies on the device or of the host's pinned memory, and waits for events of other streams.
// All of it is late: it is done when the host waits for an event or stream behind it, or asks the stream for something that has to do with
// memory. Copies from the host are done at once instead while `hurry` is set. Then what is not ordered is wrong in one way or the other.
static struct Asked {
    Handle stream;
    long number;
    void *to, *from;
    size_t bytes;
    Handle other;
    long until;
} asked[4096];
static int waiting, hurry;
static void fail(const char* what) {
    fprintf(stderr, "the driver that counts: %s\n", what);
    abort();
}
static long asking;
void driver_hurry(int wanted) { hurry = wanted; }
static Status arrive(Handle stream, long until) {
    for (int i = 0; i < waiting;) {
        struct Asked next = asked[i];
        if (next.stream != stream || next.number > until) {
            i++;
            continue;
        }
        memmove(asked + i, asked + i + 1, (--waiting - i) * sizeof next);
        if (next.to) memcpy(next.to, next.from, next.bytes);
        else arrive(next.other, next.until), i = 0;
    }
    return 0;
}
static Status ask(struct Asked what) {
    if (waiting == 4096) fail("too much is waiting to be kept in mind");
    what.number = ++asking;
    asked[waiting++] = what;
    return 0;
}
static Status all(Handle stream) { return arrive(stream, asking); }
static struct Event {
    Handle stream;
    long behind;
} events[1 << 16];
static struct Event* of(Handle event) { return &events[(long)event % (1 << 16)]; }
Status cuEventCreate(Handle* event, unsigned flags) {
    static long next = 1 << 20;
    if (next == (1 << 20) + (1 << 16)) return 2;
    return *event = (Handle)next++, counts.events++, 0;
}
Status cuEventDestroy_v2(Handle event) { return 0; }
Status cuEventRecord(Handle event, Handle stream) { return *of(event) = (struct Event){stream, asking}, 0; }
Status cuEventQuery(Handle event) {
    for (int i = 0; i < waiting; i++)
        if (asked[i].stream == of(event)->stream && asked[i].number <= of(event)->behind) return 600;
    return 0;
}
Status cuEventSynchronize(Handle event) {
    counts.waits += of(event)->stream != NULL;
    return arrive(of(event)->stream, of(event)->behind);
}
Status cuStreamWaitEvent(Handle stream, Handle event, unsigned flags) {
    return ask((struct Asked){.stream = stream, .other = of(event)->stream, .until = of(event)->behind});
}
Status cuStreamSynchronize(Handle stream) { return counts.waits++, all(stream); }
Status cuCtxSynchronize(void) {
    while (waiting) all(asked[0].stream);
    return counts.waits++, 0;
}
// Memory that goes while a copy has to do with it.
static void release(void* memory) {
    char *start = memory, *end = start + malloc_usable_size(memory);
    for (int i = 0; i < waiting; i++)
        for (int k = 0; k < 2; k++) {
            char* side = k ? asked[i].to : asked[i].from;
            if (side >= start && side < end) fail("memory was freed while a copy from or to it was on its way");
        }
    free(memory);
}
Status cuEventElapsedTime_v2(float* time, Handle start, Handle end) { return *time = 0, 0; }

Status cuMemAllocAsync(Address* memory, size_t bytes, Handle stream) {
    if (!bytes) return 1;
    counts.allocations++;
    *memory = (Address)calloc(1, bytes);
    return *memory ? 0 : 2;
}
Status cuMemAlloc_v2(Address* memory, size_t bytes) { return cuMemAllocAsync(memory, bytes, NULL); }
Status cuMemFreeAsync(Address memory, Handle stream) { return all(stream), release((void*)memory), 0; }
Status cuMemFree_v2(Address memory) { return cuMemFreeAsync(memory, NULL); }
static Handle pinned[4096];
static int pins;
Status cuMemHostAlloc(Handle* memory, size_t bytes, unsigned flags) {
    *memory = memset(malloc(bytes + 1), 0xff, bytes + 1);
    if (pins < 4096) pinned[pins++] = *memory;
    return 0;
}
Status cuMemFreeHost(Handle memory) {
    for (int i = 0; i < pins; i++)
        if (pinned[i] == memory) pinned[i] = pinned[--pins];
    return release(memory), 0;
}
static int is_pinned(const void* memory) {
    for (int i = 0; i < pins; i++)
        if (pinned[i] == memory) return 1;
    return 0;
}
Status cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Handle stream) {
    counts.uploads++;
    if (!is_pinned(from)) return all(stream), memcpy((void*)to, from, bytes), 0;
    ask((struct Asked){.stream = stream, .to = (void*)to, .from = (void*)from, .bytes = bytes});
    return hurry ? all(stream) : 0;
}
Status cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) { return cuMemcpyHtoDAsync_v2(to, from, bytes, NULL); }
Status cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Handle stream) {
    counts.downloads++;
    if (!is_pinned(to)) return all(stream), memcpy(to, (void*)from, bytes), 0;
    return ask((struct Asked){.stream = stream, .to = to, .from = (void*)from, .bytes = bytes});
}
Status cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, NULL); }
Status cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Handle stream) {
    counts.copies++;
    return ask((struct Asked){.stream = stream, .to = (void*)to, .from = (void*)from, .bytes = bytes});
}
Status cuMemcpyDtoD_v2(Address to, Address from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, NULL); }
Status cuMemcpyPeerAsync(Address to, Handle a, Address from, Handle b, size_t bytes, Handle stream) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
Status cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Handle stream) {
    return counts.fills++, all(stream), memset((void*)to, value, bytes), 0;
}
Status cuMemsetD8_v2(Address to, unsigned char value, size_t bytes) { return cuMemsetD8Async(to, value, bytes, NULL); }

Status cuModuleLoadData(Handle* module, const void* image) { return *module = (Handle)7, 0; }
Status cuModuleLoad(Handle* module, const char* path) { return *module = (Handle)7, 0; }
Status cuModuleUnload(Handle module) { return 0; }
// A function is its name, one for each.
Status cuModuleGetFunction(Handle* function, Handle module, const char* name) {
    static char* names[4096];
    static int count;
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name)) return *function = names[i], 0;
    if (count == 4096) return 2;
    return *function = names[count++] = strdup(name), 0;
}
Status cuFuncGetAttribute(int* value, int attribute, Handle function) { return *value = 0, 0; }
// A function may have more shared memory than 48 KB where that was asked for.
static struct Raised {
    Handle function;
    unsigned bytes;
} raised[64];
Status cuFuncSetAttribute(Handle function, int attribute, int value) {
    int i = 0;
    while (i < 63 && raised[i].function && raised[i].function != function) i++;
    if (attribute == 8) raised[i] = (struct Raised){function, value};
    return value <= 227 << 10 ? 0 : 1;
}
static unsigned most(Handle function) {
    for (int i = 0; i < 64; i++)
        if (raised[i].function == function) return raised[i].bytes;
    return 48 << 10;
}
Status cuFuncSetCacheConfig(Handle function, int config) { return 0; }
Status cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Handle function, int threads, size_t shared) {
    return *blocks = 1, 0;
}
Status cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, Handle stream, Handle* arguments, Handle* extra) {
    counts.launches++;
    note(function);
    return gx && gy && gz && gy < 65536 && gz < 65536 && shared <= most(function) ? 0 : 1;
}
Status cuLaunchCooperativeKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, Handle stream, Handle* arguments) {
    return cuLaunchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, arguments, NULL);
}
Status cuGetErrorName(Status error, const char** text) { return *text = "an error of the driver that counts", 0; }
Status cuGetErrorString(Status error, const char** text) { return cuGetErrorName(error, text); }

// Every product of cuBLAS: arguments are of no concern.
static Status product(const char* name) { return counts.products++, note(name), 0; }
Status cublasCreate_v2(Handle* handle) { return *handle = (Handle)5, 0; }
Status cublasDestroy_v2(Handle handle) { return 0; }
Status cublasSetStream_v2(Handle handle, Handle stream) { return 0; }
Status cublasGemmEx() { return product("cublasGemmEx"); }
Status cublasGemmStridedBatchedEx() { return product("cublasGemmStridedBatchedEx"); }
Status cublasSgemm_v2() { return product("cublasSgemm"); }
Status cublasDgemm_v2() { return product("cublasDgemm"); }
Status cublasHgemm() { return product("cublasHgemm"); }
Status cublasSgemmStridedBatched() { return product("cublasSgemmStridedBatched"); }
Status cublasDgemmStridedBatched() { return product("cublasDgemmStridedBatched"); }
Status cublasHgemmStridedBatched() { return product("cublasHgemmStridedBatched"); }

Status curandCreateGenerator(Handle* generator, int kind) { return *generator = (Handle)6, 0; }
Status curandDestroyGenerator(Handle generator) { return 0; }
Status curandSetPseudoRandomGeneratorSeed(Handle generator, unsigned long long seed) { return 0; }
Status curandSetStream(Handle generator, Handle stream) { return 0; }
static Status random_values(const char* name) { return counts.launches++, note(name), 0; }
Status curandGenerateUniform() { return random_values("curandGenerateUniform"); }
Status curandGenerateUniformDouble() { return random_values("curandGenerateUniformDouble"); }
Status curandGenerateNormal() { return random_values("curandGenerateNormal"); }
Status curandGenerateNormalDouble() { return random_values("curandGenerateNormalDouble"); }
Status curandGenerateLogNormal() { return random_values("curandGenerateLogNormal"); }
