//! The Gaussian grid against PyTorch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candlewick_kernels::gaussian_grid::{filters, read, write};
use compare::*;

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let names = ["xs", "centre_y", "stride_y", "variance_y", "centre_x", "stride_x", "variance_x"];
    for (i, case) in cases("gaussian_grid").iter().enumerate() {
        let o = options(case);
        let operation = if o[0] == 1 { write } else { read };
        check_case(case, &names, &format!("Gaussian grid {i} {o:?}"), |x| {
            let rows = filters(&x[1], &x[2], &x[3], o[1], o[2])?;
            operation(&x[0], &rows, &filters(&x[4], &x[5], &x[6], o[1], o[3])?)
        });
    }
}
