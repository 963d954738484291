//! GEMM microkernel in plain Rust, which compilers turn into SIMD code.

use super::{PANEL, Strided, Tile};

/// One to four rows.
pub fn multiply(tile: Tile, rows: usize, into: &mut [f32]) {
    match rows {
        1 => rows_of::<1>(tile, into),
        2 => rows_of::<2>(tile, into),
        3 => rows_of::<3>(tile, into),
        _ => rows_of::<4>(tile, into),
    }
}

fn rows_of<const M: usize>(tile: Tile, into: &mut [f32]) {
    let Strided { values, row, column } = tile.a;
    let mut sums = [[0f32; PANEL]; M];
    for (k, lines) in tile.lines.chunks_exact(2).enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            let value = values[r * row + k * column];
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum += value * lines[j / 16].0[j % 16];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let into = &mut into[r * tile.stride..][..PANEL];
        for (into, sum) in into.iter_mut().zip(sums) {
            *into = if tile.add { *into + sum } else { *sum };
        }
    }
}
