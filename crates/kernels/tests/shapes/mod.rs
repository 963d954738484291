//! Shapes of inputs that several tests take.

/// Those of the attention LSTM with a gate β, in the order of the operation: N, T and E; P, A and C; H.
pub fn attention_lstm(
    (n, t, e): (usize, usize, usize),
    (p, a, c): (usize, usize, usize),
    h: usize,
) -> [Vec<usize>; 13] {
    [
        vec![n, t, e],
        vec![n, p, a],
        vec![n, p, c],
        vec![n, h],
        vec![n, h],
        vec![4 * h, e + c],
        vec![4 * h, h],
        vec![4 * h],
        vec![a, h],
        vec![a],
        vec![a],
        vec![c, h],
        vec![c],
    ]
}
