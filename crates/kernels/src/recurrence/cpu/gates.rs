//! Fused gate kernels of RNN, LSTM and GRU, one row of the batch at a time, f32, CPU.

use super::{Gates, SavedUnits};
use crate::cpu::simd_math::{logistic, tanh, vectorised};
use crate::recurrence::{Gru, Lstm, Nonlinearity, Rnn};

/// Blocks of values, one for each gate, that start every `stride` values.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

impl<'a> Blocks<'a> {
    /// The first `width` values of block `i`.
    #[inline(always)]
    pub fn at(self, i: usize, width: usize) -> &'a [f32] {
        &self.values[i * self.stride..][..width]
    }
}

const LANES: usize = 16;

/// Values of one iteration, which are read before any are written: a check whether its many slices overlap would take longer than
/// the loop.
type Lanes = [f32; LANES];

/// Up to 16 values of every slice, from this one on.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
}

impl Span {
    #[inline(always)]
    fn load(self, values: &[f32]) -> Lanes {
        if let Some(whole) = values[self.start..].first_chunk() {
            return *whole;
        }
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes.iter_mut().zip(&values[self.start..]) {
            *lane = *value;
        }
        lanes
    }

    #[inline(always)]
    fn store(self, lanes: Lanes, values: &mut [f32]) {
        if let Some(whole) = values[self.start..].first_chunk_mut() {
            *whole = lanes;
            return;
        }
        for (value, lane) in values[self.start..].iter_mut().zip(lanes) {
            *value = lane;
        }
    }

    /// The sums of a gate's products with the input and with the state.
    #[inline(always)]
    fn sum(self, [p, u]: [Blocks; 2], gate: usize, width: usize) -> Lanes {
        let (mut p, u) = (self.load(p.at(gate, width)), self.load(u.at(gate, width)));
        for lane in 0..LANES {
            p[lane] += u[lane];
        }
        p
    }
}

/// The spans of so many values.
#[inline(always)]
fn spans(width: usize) -> impl Iterator<Item = Span> {
    (0..width.div_ceil(LANES)).map(|i| Span { start: i * LANES })
}

/// The first four blocks of `width` values.
pub fn four(values: &mut [f32], width: usize) -> [&mut [f32]; 4] {
    let (a, rest) = values.split_at_mut(width);
    let (b, rest) = rest.split_at_mut(width);
    let (c, rest) = rest.split_at_mut(width);
    [a, b, c, &mut rest[..width]]
}

vectorised! {
    /// Copies the values of some hidden units in the pieces in which they are read next.
    pub fn copy(from: &[f32], into: &mut [f32]) {
        let from = &from[..into.len()];
        for span in spans(into.len()) {
            span.store(span.load(from), into);
        }
    }
}

impl Gates for Rnn {
    const GATES: usize = 1;
    const SAVES_EXTRA: bool = false;

    #[inline(always)]
    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], _: &mut [f32], _: &mut [f32]) {
        let [gate, ..] = gates;
        rnn_forward(self.0, sums, gate, h);
    }

    #[inline(always)]
    fn backward(&self, saved: SavedUnits, dh: &mut [f32], _: &mut [f32], gradient: [&mut [f32]; 4]) {
        let [gradient, ..] = gradient;
        rnn_backward(self.0, saved.gates[0], dh, gradient);
    }
}

vectorised! {
    fn rnn_forward(nonlinearity: Nonlinearity, sums: [Blocks; 2], gate: &mut [f32], h: &mut [f32]) {
        let width = h.len();
        let gate = &mut gate[..width];
        for span in spans(width) {
            let mut new = span.sum(sums, 0, width);
            match nonlinearity {
                Nonlinearity::Tanh => {
                    for new in &mut new {
                        *new = tanh::<FUSED>(*new);
                    }
                }
                Nonlinearity::Relu => {
                    for new in &mut new {
                        // A NaN stays one.
                        *new = if *new <= 0.0 { 0.0 } else { *new };
                    }
                }
            }
            span.store(new, h);
            span.store(new, gate);
        }
    }
}

vectorised! {
    fn rnn_backward(nonlinearity: Nonlinearity, hs: &[f32], dh: &mut [f32], gradient: &mut [f32]) {
        for ((gradient, dh), h) in gradient.iter_mut().zip(dh).zip(hs) {
            let slope = match nonlinearity {
                Nonlinearity::Tanh => 1.0 - h * h,
                // A NaN is not above 0 and must not turn into a zero either.
                Nonlinearity::Relu if *h <= 0.0 => 0.0,
                Nonlinearity::Relu => 1.0,
            };
            *gradient = *dh * slope;
            *dh = 0.0;
        }
    }
}

impl Gates for Lstm {
    const GATES: usize = 4;
    /// c_{t−1}.
    const SAVES_EXTRA: bool = true;

    #[inline(always)]
    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], c: &mut [f32], before: &mut [f32]) {
        lstm_forward(sums, gates, h, c, before);
    }

    #[inline(always)]
    fn backward(&self, saved: SavedUnits, dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]) {
        lstm_backward(saved.gates, saved.extra, dh, dc, gradient);
    }
}

vectorised! {
    /// From projected inputs and W_hh h; `gates` get σ(i), σ(f), tanh(g) and σ(o), `before` c_{t−1}.
    pub fn lstm_forward(
        sums: [Blocks; 2],
        gates: [&mut [f32]; 4],
        h: &mut [f32],
        c: &mut [f32],
        before: &mut [f32],
    ) {
        let width = h.len();
        let [to_i, to_f, to_g, to_o] = gates;
        let (to_i, to_f) = (&mut to_i[..width], &mut to_f[..width]);
        let (to_g, to_o) = (&mut to_g[..width], &mut to_o[..width]);
        let (c, before) = (&mut c[..width], &mut before[..width]);
        for span in spans(width) {
            let (mut i, mut f) = (span.sum(sums, 0, width), span.sum(sums, 1, width));
            let (mut g, mut o) = (span.sum(sums, 2, width), span.sum(sums, 3, width));
            let (old, mut new, mut out) = (span.load(c), [0.0; LANES], [0.0; LANES]);
            for j in 0..LANES {
                (i[j], f[j]) = (logistic::<FUSED>(i[j]), logistic::<FUSED>(f[j]));
                (g[j], o[j]) = (tanh::<FUSED>(g[j]), logistic::<FUSED>(o[j]));
                new[j] = f[j] * old[j] + i[j] * g[j];
                out[j] = o[j] * tanh::<FUSED>(new[j]);
            }
            span.store(i, to_i);
            span.store(f, to_f);
            span.store(g, to_g);
            span.store(o, to_o);
            span.store(old, before);
            span.store(new, c);
            span.store(out, h);
        }
    }
}

vectorised! {
    /// From what [`lstm_forward`] left; `dh` leaves as 0, since all of it flows through the gates.
    pub fn lstm_backward(gates: [&[f32]; 4], before: &[f32], dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]) {
        let width = dh.len();
        let [gate_i, gate_f, gate_g, gate_o] = gates;
        let (gate_i, gate_f) = (&gate_i[..width], &gate_f[..width]);
        let (gate_g, gate_o) = (&gate_g[..width], &gate_o[..width]);
        let (dc, before) = (&mut dc[..width], &before[..width]);
        let [to_i, to_f, to_g, to_o] = gradient;
        let (to_i, to_f) = (&mut to_i[..width], &mut to_f[..width]);
        let (to_g, to_o) = (&mut to_g[..width], &mut to_o[..width]);
        for span in spans(width) {
            let (i, f, g, o) = (span.load(gate_i), span.load(gate_f), span.load(gate_g), span.load(gate_o));
            let (before, dh_new, mut dc_old) = (span.load(before), span.load(dh), span.load(dc));
            let [mut di, mut df, mut dg, mut d_o] = [[0.0; LANES]; 4];
            for j in 0..LANES {
                let (i, f, g, o, before) = (i[j], f[j], g[j], o[j], before[j]);
                let tanh_c = tanh::<FUSED>(f * before + i * g);
                d_o[j] = dh_new[j] * tanh_c * o * (1.0 - o);
                let d = dc_old[j] + dh_new[j] * o * (1.0 - tanh_c * tanh_c);
                di[j] = d * g * i * (1.0 - i);
                df[j] = d * before * f * (1.0 - f);
                dg[j] = d * i * (1.0 - g * g);
                dc_old[j] = d * f;
            }
            span.store(di, to_i);
            span.store(df, to_f);
            span.store(dg, to_g);
            span.store(d_o, to_o);
            span.store(dc_old, dc);
            span.store([0.0; LANES], dh);
        }
    }
}

impl Gates for Gru {
    const GATES: usize = 3;
    /// u_n.
    const SAVES_EXTRA: bool = true;
    /// Those of p_n, of r, of z and of u_n, so that those of either product are contiguous.
    const GRADIENT: usize = 4;
    const GRADIENT_ROTATION: usize = 2;
    const READS_H: bool = true;

    #[inline(always)]
    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], _: &mut [f32], extra: &mut [f32]) {
        gru_forward(sums, gates, h, extra);
    }

    #[inline(always)]
    fn backward(&self, saved: SavedUnits, dh: &mut [f32], _: &mut [f32], gradient: [&mut [f32]; 4]) {
        gru_backward(saved, dh, gradient);
    }
}

vectorised! {
    fn gru_forward(sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], extra: &mut [f32]) {
        let width = h.len();
        let [to_r, to_z, to_n, _] = gates;
        let (to_r, to_z, to_n) = (&mut to_r[..width], &mut to_z[..width], &mut to_n[..width]);
        let (extra, [p, u]) = (&mut extra[..width], sums);
        for span in spans(width) {
            let (mut r, mut z) = (span.sum(sums, 0, width), span.sum(sums, 1, width));
            let (mut n, un, mut new) = (span.load(p.at(2, width)), span.load(u.at(2, width)), span.load(h));
            for j in 0..LANES {
                (r[j], z[j]) = (logistic::<FUSED>(r[j]), logistic::<FUSED>(z[j]));
                n[j] = tanh::<FUSED>(n[j] + r[j] * un[j]);
                new[j] = (1.0 - z[j]) * n[j] + z[j] * new[j];
            }
            span.store(r, to_r);
            span.store(z, to_z);
            span.store(n, to_n);
            span.store(un, extra);
            span.store(new, h);
        }
    }
}

vectorised! {
    fn gru_backward(saved: SavedUnits, dh: &mut [f32], gradient: [&mut [f32]; 4]) {
        let width = dh.len();
        let [gate_r, gate_z, gate_n, _] = saved.gates;
        let (gate_r, gate_z, gate_n) = (&gate_r[..width], &gate_z[..width], &gate_n[..width]);
        let (extra, previous) = (&saved.extra[..width], &saved.previous[..width]);
        let [to_p, to_r, to_z, to_u] = gradient;
        let (to_p, to_r) = (&mut to_p[..width], &mut to_r[..width]);
        let (to_z, to_u) = (&mut to_z[..width], &mut to_u[..width]);
        for span in spans(width) {
            let (r, z, n) = (span.load(gate_r), span.load(gate_z), span.load(gate_n));
            let (u, previous, mut dh_old) = (span.load(extra), span.load(previous), span.load(dh));
            let [mut dp, mut dr, mut dz, mut du] = [[0.0; LANES]; 4];
            for j in 0..LANES {
                let (r, z, n) = (r[j], z[j], n[j]);
                let d = dh_old[j] * (1.0 - z) * (1.0 - n * n);
                dp[j] = d;
                dr[j] = d * u[j] * r * (1.0 - r);
                dz[j] = dh_old[j] * (previous[j] - n) * z * (1.0 - z);
                du[j] = d * r;
                dh_old[j] *= z;
            }
            span.store(dp, to_p);
            span.store(dr, to_r);
            span.store(dz, to_z);
            span.store(du, to_u);
            span.store(dh_old, dh);
        }
    }
}
