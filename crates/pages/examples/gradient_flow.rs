//! A plot of gradients that vanish, stay and explode, as an SVG or PNG file by its ending.
//!
//! `cargo run -p candlewick-pages --example gradient_flow [FILE]`

#![allow(clippy::print_stdout)]

use candlewick_pages::{DrawingFormat, GradientNorms, gradient_flow_plot};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = match std::env::args_os().nth(1) {
        Some(path) => path.into(),
        None => std::env::temp_dir().join("candlewick-gradient-flow.svg"),
    };
    let powers = |factor: f64| -> Vec<f64> { (0..100).rev().map(|back| factor.powi(back)).collect() };
    let [vanishing, steady, exploding] = [0.8, 0.999, 1.1].map(|factor| vec![powers(factor)]);
    let cells = [
        GradientNorms { name: "vanishes", norms: &vanishing, clipped: &[] },
        GradientNorms { name: "stays", norms: &steady, clipped: &[] },
        GradientNorms { name: "explodes", norms: &exploding, clipped: &[] },
    ];
    let plot = gradient_flow_plot(&cells, DrawingFormat::of(&path)?)?;
    std::fs::write(&path, &plot)?;
    println!("{} bytes in {}", plot.len(), path.display());
    Ok(())
}
