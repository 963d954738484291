//! The fused loops over the gates of the three cells, one row of the batch at a time, for the CPU.

use super::cpu::{Gates, Saved};
use super::smooth::{logistic, tanh, vectorised};
use super::{Gru, Lstm, Nonlinearity, Rnn};

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

/// The first four blocks of `width` values.
pub fn four(values: &mut [f32], width: usize) -> [&mut [f32]; 4] {
    let (a, rest) = values.split_at_mut(width);
    let (b, rest) = rest.split_at_mut(width);
    let (c, rest) = rest.split_at_mut(width);
    [a, b, c, &mut rest[..width]]
}

impl Gates for Rnn {
    const NAME: &'static str = "rnn";
    const GATES: usize = 1;
    const CELL: bool = false;
    const EXTRA: bool = false;

    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], _: &mut [f32], _: &mut [f32]) {
        let [gate, ..] = gates;
        match self.0 {
            Nonlinearity::Tanh => rnn_tanh(sums, gate, h),
            Nonlinearity::Relu => rnn_relu(sums, gate, h),
        }
    }

    fn backward(&self, saved: Saved, dh: &mut [f32], _: &mut [f32], gradient: [&mut [f32]; 4]) {
        let [gradient, ..] = gradient;
        for ((gradient, dh), h) in gradient.iter_mut().zip(dh).zip(saved.gates[0]) {
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
    fn rnn_tanh(sums: [Blocks; 2], gate: &mut [f32], h: &mut [f32]) {
        let width = h.len();
        let (gate, [p, u]) = (&mut gate[..width], sums.map(|sums| sums.at(0, width)));
        for j in 0..width {
            h[j] = tanh::<FUSED>(p[j] + u[j]);
            gate[j] = h[j];
        }
    }
}

vectorised! {
    fn rnn_relu(sums: [Blocks; 2], gate: &mut [f32], h: &mut [f32]) {
        let width = h.len();
        let (gate, [p, u]) = (&mut gate[..width], sums.map(|sums| sums.at(0, width)));
        for j in 0..width {
            let sum = p[j] + u[j];
            h[j] = if sum <= 0.0 { 0.0 } else { sum };
            gate[j] = h[j];
        }
    }
}

impl Gates for Lstm {
    const NAME: &'static str = "lstm";
    const GATES: usize = 4;
    const CELL: bool = true;
    /// c_{t−1}.
    const EXTRA: bool = true;

    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], c: &mut [f32], before: &mut [f32]) {
        lstm_forward(sums, gates, h, c, before);
    }

    fn backward(&self, saved: Saved, dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]) {
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
        let [i, f, g, o] = gates;
        let (i, f, g, o) = (&mut i[..width], &mut f[..width], &mut g[..width], &mut o[..width]);
        let (c, before) = (&mut c[..width], &mut before[..width]);
        let [p, u] = sums;
        let (pi, pf, pg, po) = (p.at(0, width), p.at(1, width), p.at(2, width), p.at(3, width));
        let (ui, uf, ug, uo) = (u.at(0, width), u.at(1, width), u.at(2, width), u.at(3, width));
        for j in 0..width {
            (i[j], f[j]) = (logistic::<FUSED>(pi[j] + ui[j]), logistic::<FUSED>(pf[j] + uf[j]));
            (g[j], o[j]) = (tanh::<FUSED>(pg[j] + ug[j]), logistic::<FUSED>(po[j] + uo[j]));
            before[j] = c[j];
            c[j] = f[j] * c[j] + i[j] * g[j];
            h[j] = o[j] * tanh::<FUSED>(c[j]);
        }
    }
}

vectorised! {
    /// From what [`lstm_forward`] left; `dh` leaves as 0, since all of it flows through the gates.
    pub fn lstm_backward(gates: [&[f32]; 4], before: &[f32], dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]) {
        let width = dh.len();
        let [i, f, g, o] = gates;
        let (i, f, g, o) = (&i[..width], &f[..width], &g[..width], &o[..width]);
        let (dc, before) = (&mut dc[..width], &before[..width]);
        let [di, df, dg, d_o] = gradient;
        let (di, df, dg, d_o) = (&mut di[..width], &mut df[..width], &mut dg[..width], &mut d_o[..width]);
        for j in 0..width {
            let (i, f, g, o, before) = (i[j], f[j], g[j], o[j], before[j]);
            let squashed = tanh::<FUSED>(f * before + i * g);
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
    const CELL: bool = false;
    /// u_n.
    const EXTRA: bool = true;
    /// Those of p_n, of r, of z and of u_n, so that the triples of either product lie together.
    const GRADIENT: usize = 4;
    const FIRST: usize = 2;

    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], _: &mut [f32], extra: &mut [f32]) {
        gru_forward(sums, gates, h, extra);
    }

    fn backward(&self, saved: Saved, dh: &mut [f32], _: &mut [f32], gradient: [&mut [f32]; 4]) {
        gru_backward(saved, dh, gradient);
    }
}

vectorised! {
    fn gru_forward(sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], extra: &mut [f32]) {
        let width = h.len();
        let [r, z, n, _] = gates;
        let (r, z, n, extra) = (&mut r[..width], &mut z[..width], &mut n[..width], &mut extra[..width]);
        let [p, u] = sums;
        let (pr, pz, pn) = (p.at(0, width), p.at(1, width), p.at(2, width));
        let (ur, uz, un) = (u.at(0, width), u.at(1, width), u.at(2, width));
        for j in 0..width {
            (r[j], z[j]) = (logistic::<FUSED>(pr[j] + ur[j]), logistic::<FUSED>(pz[j] + uz[j]));
            n[j] = tanh::<FUSED>(pn[j] + r[j] * un[j]);
            extra[j] = un[j];
            h[j] = (1.0 - z[j]) * n[j] + z[j] * h[j];
        }
    }
}

vectorised! {
    fn gru_backward(saved: Saved, dh: &mut [f32], gradient: [&mut [f32]; 4]) {
        let width = dh.len();
        let [r, z, n, _] = saved.gates;
        let (r, z, n) = (&r[..width], &z[..width], &n[..width]);
        let (u, previous) = (&saved.extra[..width], &saved.previous[..width]);
        let [dp, dr, dz, du] = gradient;
        let (dp, dr, dz, du) = (&mut dp[..width], &mut dr[..width], &mut dz[..width], &mut du[..width]);
        for j in 0..width {
            let (r, z, n) = (r[j], z[j], n[j]);
            let d = dh[j] * (1.0 - z) * (1.0 - n * n);
            dp[j] = d;
            dr[j] = d * u[j] * r * (1.0 - r);
            dz[j] = dh[j] * (previous[j] - n) * z * (1.0 - z);
            du[j] = d * r;
            dh[j] *= z;
        }
    }
}
