//! bf16 GEMM microkernel with AMX tiles.
//!
//! The compiler's functions for AMX are not stable, so this is assembly. Tiles are configured and released
//! within each block of it.

use super::{LINES, Pairs, RoundedA, x86};
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Whether this machine has AMX for bf16, and the operating system lets this process use it, for which it is asked once.
pub fn is_available() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| x86::is_available() && has_tiles() && permitted())
}

/// Whether the processor has tiles and products of bf16 in them, and knows more than its basic functions.
fn has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    // SAFETY: every x86-64 processor has CPUID, and leaf 7 is asked only of one that says it has it.
    #[allow(unused_unsafe)]
    let features = unsafe { if __cpuid(0).eax < 7 { 0 } else { __cpuid_count(7, 0).edx } };
    features & BF16 != 0 && features & TILE != 0
}

/// Asks Linux to save the tiles' state of this process's threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XTILEDATA: i64 = 18;
    let answer: i64;
    // SAFETY: the call takes two numbers and reads and writes no memory of ours; a kernel that does not know it says so. Beside its
    // answer it changes rcx and r11 alone, which are named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// What the tiles hold, as LDTILECFG reads it.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each tile.
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Four tiles of sums, two rows of them, of which the second may be missing; two of A; two of the right.
    const fn new(first: u8, second: u8) -> Self {
        let mut shapes = Self { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        let rows = [first, first, second, second, first, second, 16, 16];
        let mut tile = 0;
        while tile < rows.len() {
            shapes.rows[tile] = rows[tile];
            shapes.bytes[tile] = if rows[tile] > 0 { 64 } else { 0 };
            tile += 1;
        }
        shapes
    }
}

/// As [`super::Isa::multiply`], whose assertions hold.
pub fn multiply(a: RoundedA, panel: &[Pairs], into: &mut [f32], stride: usize, add: bool) {
    let depth = panel.len() / (2 * LINES);
    let (blocks, rest) = (a.rows / (2 * LINES), a.rows % (2 * LINES));
    if depth == 0 {
        if !add {
            (0..a.rows).for_each(|row| into[row * stride..][..2 * LINES].fill(0.0));
        }
        return;
    }
    let whole = blocks * 2 * LINES;
    assert!(is_available());
    // SAFETY: the machine has tiles and may use them, as was asserted. `Isa::multiply` has asserted that A has `depth` tiles
    // for each 16 rows, the panel twice `depth`, and `into` all rows, `stride` apart; the shapes have 32 rows for each whole
    // block, and as many as are left for the rest.
    unsafe {
        if blocks > 0 {
            const WHOLE: Shapes = Shapes::new(16, 16);
            let (a, into) = (a.tiles.as_ptr(), into.as_mut_ptr());
            match add {
                true => tiles::<true, true>(&WHOLE, a, panel.as_ptr(), into, stride, depth, blocks),
                false => tiles::<true, false>(&WHOLE, a, panel.as_ptr(), into, stride, depth, blocks),
            }
        }
        if rest > 0 {
            let (a, into) = (a.tiles[whole * depth..].as_ptr(), into[whole * stride..].as_mut_ptr());
            let shapes = Shapes::new(rest.min(LINES) as u8, rest.saturating_sub(LINES) as u8);
            match (rest > LINES, add) {
                (true, true) => tiles::<true, true>(&shapes, a, panel.as_ptr(), into, stride, depth, 1),
                (true, false) => tiles::<true, false>(&shapes, a, panel.as_ptr(), into, stride, depth, 1),
                (false, true) => tiles::<false, true>(&shapes, a, panel.as_ptr(), into, stride, depth, 1),
                (false, false) => tiles::<false, false>(&shapes, a, panel.as_ptr(), into, stride, depth, 1),
            }
        }
    }
}

/// `blocks` times two rows of tiles, or one row without `TWO`, by two columns.
///
/// # Safety
/// The machine has AMX and may use it; a has `depth` > 0 tiles for each row of tiles, the panel twice as many, and `into`,
/// which may be written, the rows that the shapes give.
#[inline]
unsafe fn tiles<const TWO: bool, const ADD: bool>(
    shapes: &Shapes,
    a: *const Pairs,
    panel: *const Pairs,
    into: *mut f32,
    stride: usize,
    depth: usize,
    blocks: usize,
) {
    // SAFETY: the caller promises that the machine has the instructions, and that what the tiles load and store lies where it may be read
    // and written: tiles of A and of the panel are 1024 bytes, 64 a line, and rows of `into` are `stride` floats apart.
    // The registers that are changed are named, the stack is not touched, and tiles are given back at the end.
    unsafe {
        asm!(
            "ldtilecfg [{turn}]",
            "20:",
            // The second row of sums, and of A's tiles.
            "mov {turn}, {stride}",
            "shl {turn}, 4",
            "add {turn}, {into}",
            "lea {below}, [{a} + {size}]",
            ".if {ADD}",
            "tileloadd tmm0, [{into} + {stride}]",
            "tileloadd tmm1, [{into} + {stride} + 64]",
            ".if {TWO}",
            "tileloadd tmm2, [{turn} + {stride}]",
            "tileloadd tmm3, [{turn} + {stride} + 64]",
            ".endif",
            ".else",
            "tilezero tmm0",
            "tilezero tmm1",
            ".if {TWO}",
            "tilezero tmm2",
            "tilezero tmm3",
            ".endif",
            ".endif",
            "mov {turn}, {panel}",
            "mov {count}, {depth}",
            "21:",
            "tileloadd tmm4, [{a} + {line}]",
            "tileloadd tmm6, [{turn} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{turn} + {line} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            ".if {TWO}",
            "tileloadd tmm5, [{below} + {line}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            ".endif",
            "add {a}, 1024",
            "add {below}, 1024",
            "add {turn}, 2048",
            "dec {count}",
            "jnz 21b",
            "mov {turn}, {stride}",
            "shl {turn}, 4",
            "add {turn}, {into}",
            "tilestored [{into} + {stride}], tmm0",
            "tilestored [{into} + {stride} + 64], tmm1",
            ".if {TWO}",
            "tilestored [{turn} + {stride}], tmm2",
            "tilestored [{turn} + {stride} + 64], tmm3",
            ".endif",
            // A's next rows stand behind these.
            "mov {a}, {below}",
            "mov {into}, {stride}",
            "shl {into}, 4",
            "add {into}, {turn}",
            "dec {blocks}",
            "jnz 20b",
            "tilerelease",
            TWO = const TWO as usize,
            ADD = const ADD as usize,
            turn = inout(reg) shapes => _,
            a = inout(reg) a => _,
            below = out(reg) _,
            panel = in(reg) panel,
            into = inout(reg) into => _,
            stride = in(reg) stride * 4,
            size = in(reg) depth * 1024,
            depth = in(reg) depth,
            count = out(reg) _,
            blocks = inout(reg) blocks => _,
            line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
