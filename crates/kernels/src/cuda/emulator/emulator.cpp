// Runs kernels on the CPU, for tests: threads and blocks in an order drawn from a seed, memory that starts as NaN and ends at a page that
// nobody may touch, and a report where threads wait for ever or go beyond their memory.
#include "emulator.h"

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

// Saves what a call must keep on the stack of the one fibre, and goes on with the other.
extern "C" void emulator_switch(void** from, void* to);
#if defined(__x86_64__)
#define WORDS 6
asm(R"(
.text
.globl emulator_switch
emulator_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");
#elif defined(__aarch64__)
#define WORDS 20
asm(R"(
.text
.globl emulator_switch
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
#else
#error "the emulator switches stacks on x86-64 and AArch64 alone"
#endif

namespace emulator {

thread_local Fibre* now;
thread_local dim3 grid, block;

namespace {

thread_local void* home;
thread_local const Kernel* kernel;
thread_local void** arguments;
thread_local sigjmp_buf* escape;

constexpr size_t STACK = 64 << 10;

void wait(Fibre::State state) {
    Fibre* me = now;
    me->state = state;
    emulator_switch(&me->top, home);
}

void enter() {
    kernel->call(arguments);
    now->block->alive--;
    warp().alive--;
    wait(Fibre::DONE);
}

// A stack on which `emulator_switch` finds `enter` to go on with.
void begin(Fibre& fibre, char* stack) {
    auto end = reinterpret_cast<uintptr_t>(stack + STACK) & ~uintptr_t(15);
#if defined(__x86_64__)
    auto words = reinterpret_cast<void**>(end - 8) - (WORDS + 1);
    std::fill(words, words + WORDS, nullptr);
    words[WORDS] = reinterpret_cast<void*>(enter);
#else
    auto words = reinterpret_cast<void**>(end) - WORDS;
    std::fill(words, words + WORDS, nullptr);
    words[11] = reinterpret_cast<void*>(enter);
#endif
    fibre.top = words;
    fibre.state = Fibre::RUN;
}

void release(Block& b, unsigned first, unsigned end, Fibre::State what) {
    for (unsigned i = first; i < std::min(end, b.count); i++)
        if (b.fibres[i].state == what) b.fibres[i].state = Fibre::RUN;
}

// Runs the threads of a block, warp by warp in a random order, until all wait or `quota` of them have run. Gives how many have.
size_t advance(Block& b, size_t quota, std::mt19937_64& random) {
    size_t ran = 0;
    std::vector<unsigned> order(b.warps.size());
    for (unsigned i = 0; i < order.size(); i++) order[i] = i;
    for (bool moved = true; moved && ran < quota;) {
        moved = false;
        std::shuffle(order.begin(), order.end(), random);
        for (unsigned w : order) {
            Warp& warp = b.warps[w];
            const unsigned turn = random() % 32;
            for (bool again = true; again && ran < quota;) {
                again = false;
                for (unsigned l = 0; l < 32; l++) {
                    const unsigned i = w * 32 + (l + turn) % 32;
                    if (i >= b.count || b.fibres[i].state != Fibre::RUN) continue;
                    now = &b.fibres[i];
                    emulator_switch(&home, now->top);
                    ran += now->state != Fibre::SPIN;
                    moved = again = true;
                }
                if (warp.alive && warp.arrived == warp.alive) {
                    warp.arrived = 0;
                    release(b, w * 32, w * 32 + 32, Fibre::WARP);
                    again = true;
                }
            }
        }
        if (b.alive && b.arrived == b.alive) {
            b.arrived = 0;
            release(b, 0, b.count, Fibre::BLOCK);
            moved = true;
        }
    }
    return ran;
}

struct sigaction before[2];

void on_fault(int signal, siginfo_t* info, void* context) {
    if (escape) siglongjmp(*escape, 1);
    // It is not ours: as it was.
    sigaction(signal, &before[signal == SIGBUS], nullptr);
    (void)info, (void)context;
}

void catch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigaction(SIGSEGV, &action, &before[0]);
        sigaction(SIGBUS, &action, &before[1]);
    });
}

// Pages of memory, given back at the end.
struct Pages {
    char* start;
    size_t bytes;
    explicit Pages(size_t bytes) : bytes(std::max<size_t>(bytes, 1)) {
        start = static_cast<char*>(mmap(nullptr, this->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    }
    ~Pages() { munmap(start, bytes); }
    Pages(const Pages&) = delete;
};

size_t page() { return size_t(sysconf(_SC_PAGESIZE)); }
size_t up(size_t value, size_t to) { return (value + to - 1) / to * to; }

}  // namespace

std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

void sync_block() {
    now->block->arrived++;
    wait(Fibre::BLOCK);
}

void sync_warp() {
    warp().arrived++;
    wait(Fibre::WARP);
}

void spin() { wait(Fibre::SPIN); }

}  // namespace emulator

// Memory of NaNs between two pages that nobody may touch, at the end of it.
extern "C" void* emulator_alloc(size_t bytes) {
    using namespace emulator;
    const size_t whole = up(std::max<size_t>(bytes, 1), page());
    char* start = static_cast<char*>(mmap(nullptr, whole + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (start == MAP_FAILED || mprotect(start + page(), whole, PROT_READ | PROT_WRITE)) return nullptr;
    memset(start + page(), 0xff, whole);
    return start + page() + whole - bytes;
}

extern "C" void emulator_free(void* memory, size_t bytes) {
    using namespace emulator;
    const size_t whole = up(std::max<size_t>(bytes, 1), page());
    munmap(static_cast<char*>(memory) + bytes - whole - page(), whole + 2 * page());
}

// Runs a kernel; 0, or 1 with what was wrong in `message`.
extern "C" int emulator_launch(const char* name, const unsigned* g, const unsigned* b, size_t shared, void** values,
                               const size_t* sizes, size_t count, int whole_grid, uint64_t seed, char* message, size_t room) {
    using namespace emulator;
    auto found = kernels().find(name);
    if (found == kernels().end()) return snprintf(message, room, "there is no kernel %s", name), 1;
    if (found->second.sizes != std::vector<size_t>(sizes, sizes + count))
        return snprintf(message, room, "%s: takes %zu arguments, or of other sizes", name, found->second.sizes.size()), 1;
    grid = {g[0], g[1], g[2]}, block = {b[0], b[1], b[2]};
    const size_t threads = size_t(block.x) * block.y * block.z, blocks = size_t(grid.x) * grid.y * grid.z;
    if (!threads || threads > 1024 || !blocks || grid.y > 65535 || grid.z > 65535)
        return snprintf(message, room, "%s: a grid of (%u, %u, %u) blocks of %zu threads", name, g[0], g[1], g[2], threads), 1;
    // More is asked for by an attribute of the kernel, which is set for whole grids.
    if (shared > (size_t(whole_grid ? 227 : 48) << 10)) return snprintf(message, room, "%s: %zu bytes of shared memory", name, shared), 1;
    kernel = &found->second, arguments = values;
    std::mt19937_64 random(seed);
    // Each block as far as it gets, all in step, or as it comes.
    const size_t together = whole_grid ? blocks : 1;
    std::vector<unsigned> order(blocks);
    for (unsigned i = 0; i < blocks; i++) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Fibre> fibres(threads * together);
    Pages stacks(STACK * fibres.size());
    struct Shared {
        size_t bytes;
        std::vector<void*> of;
        ~Shared() {
            for (void* memory : of) emulator_free(memory, bytes);
        }
    } memory = {shared, {}};
    for (size_t i = 0; i < together; i++) memory.of.push_back(emulator_alloc(shared));
    catch_faults();
    sigjmp_buf back;
    if (sigsetjmp(back, 1)) {
        escape = nullptr;
        const dim3 at = now->block->index, t = now->thread;
        snprintf(message, room, "%s: thread (%u, %u, %u) of block (%u, %u, %u) goes beyond its memory", name, t.x, t.y, t.z, at.x, at.y, at.z);
        return 1;
    }
    escape = &back;
    std::vector<Block> run(together);
    for (size_t first = 0; first < blocks; first += together) {
        for (size_t i = 0; i < together; i++) {
            const unsigned at = order[first + i];
            Block& x = run[i] = Block();
            x.index = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
            x.alive = x.count = unsigned(threads);
            x.fibres = &fibres[i * threads];
            x.warps.resize((threads + 31) / 32);
            if (first) memset(memory.of[i], 0xff, shared);
            x.shared = static_cast<unsigned char*>(memory.of[i]);
            for (unsigned t = 0; t < threads; t++) {
                Fibre& f = x.fibres[t];
                f.block = &x, f.flat = t, f.thread = {t % block.x, t / block.x % block.y, t / block.x / block.y};
                x.warps[t / 32].alive++;
                begin(f, stacks.start + STACK * (i * threads + t));
            }
        }
        for (size_t left = together; left;) {
            size_t ran = 0;
            left = 0;
            for (Block& x : run) {
                const size_t quota = seed % 3 == 1 ? SIZE_MAX : seed % 3 == 2 ? 1 : 1 + random() % (4 * threads);
                if (x.alive) ran += advance(x, quota, random);
                left += x.alive;
            }
            if (left && !ran) {
                escape = nullptr;
                return snprintf(message, room, "%s: %zu of its threads or blocks wait for ever", name, left), 1;
            }
            for (Block& x : run) release(x, 0, x.count, Fibre::SPIN);
        }
    }
    escape = nullptr;
    return 0;
}
