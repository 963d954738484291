//! The fused loops over the gates of the three cells, one row of the batch at a time, for the CPU.

use super::cpu::Gates;
use super::smooth::{logistic, tanh, vectorised};
use super::{Gru, Lstm, Nonlinearity, Rnn};
use candle_core::{D, Result, Tensor};

/// Blocks of values, one for each gate, that start every `stride` values.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

impl<'a> Blocks<'a> {
    /// The first `width` values of block `i`.
    #[inline(always)]
    fn at(self, i: usize, width: usize) -> &'a [f32] {
        &self.values[i * self.stride..][..width]
    }
}

/// The first four blocks of `width` values.
#[inline(always)]
fn four(values: &mut [f32], width: usize) -> (&mut [f32], &mut [f32], &mut [f32], &mut [f32]) {
    let (a, rest) = values.split_at_mut(width);
    let (b, rest) = rest.split_at_mut(width);
    let (c, rest) = rest.split_at_mut(width);
    (a, b, c, &mut rest[..width])
}

impl Gates for Rnn {
    const NAME: &'static str = "rnn";
    const GATES: usize = 1;
    /// h_t.
    const SAVED: usize = 1;
    const CELL: bool = false;

    fn forward(&self, projected: Blocks, hidden: Blocks, h: &mut [f32], _: &mut [f32], saved: &mut [f32]) {
        match self.0 {
            Nonlinearity::Tanh => rnn_tanh(projected, hidden, h),
            Nonlinearity::Relu => rnn_relu(projected, hidden, h),
        }
        saved.copy_from_slice(h);
    }

    fn backward(&self, saved: &[f32], _: &[f32], dh: &mut [f32], _: &mut [f32], gradient: &mut [f32]) {
        for ((gradient, dh), h) in gradient.iter_mut().zip(dh).zip(saved) {
            *gradient = match self.0 {
                Nonlinearity::Tanh => *dh * (1.0 - h * h),
                // A NaN is not above 0 and must not turn into a zero either.
                Nonlinearity::Relu => *dh * if *h <= 0.0 { 0.0 } else { 1.0 },
            };
            *dh = 0.0;
        }
    }
}

vectorised! {
    fn rnn_tanh(projected: Blocks, hidden: Blocks, h: &mut [f32]) {
        let (p, u) = (projected.at(0, h.len()), hidden.at(0, h.len()));
        p.iter().zip(u).zip(h).for_each(|((p, u), h)| *h = tanh(p + u));
    }
}

vectorised! {
    fn rnn_relu(projected: Blocks, hidden: Blocks, h: &mut [f32]) {
        let (p, u) = (projected.at(0, h.len()), hidden.at(0, h.len()));
        p.iter().zip(u).zip(h).for_each(|((p, u), h)| {
            let sum = p + u;
            *h = if sum <= 0.0 { 0.0 } else { sum };
        });
    }
}

impl Gates for Lstm {
    const NAME: &'static str = "lstm";
    const GATES: usize = 4;
    /// σ(i), σ(f), tanh(g), σ(o) and c_{t−1}.
    const SAVED: usize = 5;
    const CELL: bool = true;

    fn forward(&self, projected: Blocks, hidden: Blocks, h: &mut [f32], c: &mut [f32], saved: &mut [f32]) {
        lstm_forward(projected, hidden, h, c, saved);
    }

    fn backward(&self, saved: &[f32], _: &[f32], dh: &mut [f32], dc: &mut [f32], gradient: &mut [f32]) {
        lstm_backward(saved, dh, dc, gradient);
    }
}

vectorised! {
    pub fn lstm_forward(projected: Blocks, hidden: Blocks, h: &mut [f32], c: &mut [f32], saved: &mut [f32]) {
        let width = h.len();
        let c = &mut c[..width];
        let (pi, pf) = (projected.at(0, width), projected.at(1, width));
        let (pg, po) = (projected.at(2, width), projected.at(3, width));
        let (ui, uf) = (hidden.at(0, width), hidden.at(1, width));
        let (ug, uo) = (hidden.at(2, width), hidden.at(3, width));
        let (gates, before) = saved.split_at_mut(4 * width);
        let before = &mut before[..width];
        let (si, sf, sg, so) = four(gates, width);
        for j in 0..width {
            let (i, f) = (logistic(pi[j] + ui[j]), logistic(pf[j] + uf[j]));
            let (g, o) = (tanh(pg[j] + ug[j]), logistic(po[j] + uo[j]));
            (si[j], sf[j], sg[j], so[j], before[j]) = (i, f, g, o, c[j]);
            c[j] = f * c[j] + i * g;
            h[j] = o * tanh(c[j]);
        }
    }
}

vectorised! {
    pub fn lstm_backward(saved: &[f32], dh: &mut [f32], dc: &mut [f32], gradient: &mut [f32]) {
        let width = dh.len();
        let saved = Blocks { values: saved, stride: width };
        let dc = &mut dc[..width];
        let (si, sf) = (saved.at(0, width), saved.at(1, width));
        let (sg, so, before) = (saved.at(2, width), saved.at(3, width), saved.at(4, width));
        let (di, df, dg, d_o) = four(gradient, width);
        for j in 0..width {
            let (i, f, g, o, before) = (si[j], sf[j], sg[j], so[j], before[j]);
            let squashed = tanh(f * before + i * g);
            d_o[j] = dh[j] * squashed * o * (1.0 - o);
            let d = dc[j] + dh[j] * o * (1.0 - squashed * squashed);
            di[j] = d * g * i * (1.0 - i);
            df[j] = d * before * f * (1.0 - f);
            dg[j] = d * i * (1.0 - g * g);
            dc[j] = d * f;
            dh[j] = 0.0;
        }
    }
}

impl Gates for Gru {
    const NAME: &'static str = "gru";
    const GATES: usize = 3;
    /// r, z, n and u_n.
    const SAVED: usize = 4;
    const CELL: bool = false;
    /// Those of p_n, of r, of z and of u_n, so that both triples lie together.
    const GRADIENT: usize = 4;

    fn forward(&self, projected: Blocks, hidden: Blocks, h: &mut [f32], _: &mut [f32], saved: &mut [f32]) {
        gru_forward(projected, hidden, h, saved);
    }

    fn backward(&self, saved: &[f32], previous: &[f32], dh: &mut [f32], _: &mut [f32], gradient: &mut [f32]) {
        gru_backward(saved, previous, dh, gradient);
    }

    fn projected(&self, gradient: Tensor) -> Result<Tensor> {
        let h = gradient.dim(1)? / 4;
        Tensor::cat(&[gradient.narrow(1, h, 2 * h)?, gradient.narrow(1, 0, h)?], D::Minus1)
    }
}

vectorised! {
    fn gru_forward(projected: Blocks, hidden: Blocks, h: &mut [f32], saved: &mut [f32]) {
        let width = h.len();
        let (pr, pz, pn) = (projected.at(0, width), projected.at(1, width), projected.at(2, width));
        let (ur, uz, un) = (hidden.at(0, width), hidden.at(1, width), hidden.at(2, width));
        let (sr, sz, sn, su) = four(saved, width);
        for j in 0..width {
            let (r, z) = (logistic(pr[j] + ur[j]), logistic(pz[j] + uz[j]));
            let n = tanh(pn[j] + r * un[j]);
            (sr[j], sz[j], sn[j], su[j]) = (r, z, n, un[j]);
            h[j] = (1.0 - z) * n + z * h[j];
        }
    }
}

vectorised! {
    fn gru_backward(saved: &[f32], previous: &[f32], dh: &mut [f32], gradient: &mut [f32]) {
        let width = dh.len();
        let saved = Blocks { values: saved, stride: width };
        let previous = &previous[..width];
        let (sr, sz, sn, su) =
            (saved.at(0, width), saved.at(1, width), saved.at(2, width), saved.at(3, width));
        let (dp, dr, dz, du) = four(gradient, width);
        for j in 0..width {
            let (r, z, n, u) = (sr[j], sz[j], sn[j], su[j]);
            let d = dh[j] * (1.0 - z) * (1.0 - n * n);
            dp[j] = d;
            dr[j] = d * u * r * (1.0 - r);
            dz[j] = dh[j] * (previous[j] - n) * z * (1.0 - z);
            du[j] = d * r;
            dh[j] *= z;
        }
    }
}
