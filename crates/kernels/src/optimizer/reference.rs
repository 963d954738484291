//! Optimiser steps with candle's operations: any type of float, any device.

use super::Update;
use super::rule::{Now, Rule, adam_factors};
use candle_core::{DType, Result, Tensor};

/// One step of one parameter, and of its average.
pub fn update(rule: Rule, update: &mut Update, scale: f64) -> Result<()> {
    if let Some(gradient) = update.gradient {
        let gradient = gradient.to_dtype(update.parameter.dtype())?.contiguous()?;
        let now = Now { learning_rate: update.learning_rate, step: update.step, scale };
        let (parameter, state) = step(rule, &update.parameter.as_detached_tensor(), &gradient, update.state, now)?;
        update.parameter.set(&parameter)?;
        *update.state = state;
    }
    if let Some((average, share)) = &mut update.average {
        **average = (&**average + ((update.parameter.as_detached_tensor() - &**average)? * *share)?)?;
    }
    Ok(())
}

/// The new parameter and the new state.
fn step(rule: Rule, p: &Tensor, g: &Tensor, state: &[Tensor], now: Now) -> Result<(Tensor, Vec<Tensor>)> {
    let g = if now.scale == 1.0 { g.clone() } else { (g * now.scale)? };
    let decayed = |g: Tensor, decay: f64| if decay == 0.0 { Ok(g) } else { g + (p * decay)? };
    match (rule, state) {
        (Rule::Adam { betas, eps, weight_decay, decoupled }, [m, v]) => {
            let shrink = if decoupled { 1.0 - now.learning_rate * weight_decay } else { 1.0 };
            let g = decayed(g, if decoupled { 0.0 } else { weight_decay })?;
            let m = ((m * betas.0)? + (&g * (1.0 - betas.0))?)?;
            let v = ((v * betas.1)? + (g.sqr()? * (1.0 - betas.1))?)?;
            let (size, root) = adam_factors(betas, now);
            let change = ((&m * size)? / ((v.sqrt()? / root)? + eps)?)?;
            Ok((((p * shrink)? - change)?, vec![m, v]))
        }
        (Rule::Sgd { weight_decay, .. }, []) => Ok(((p - (decayed(g, weight_decay)? * now.learning_rate)?)?, vec![])),
        (Rule::Sgd { momentum, nesterov, weight_decay }, [b]) => {
            let g = decayed(g, weight_decay)?;
            let b = ((b * momentum)? + &g)?;
            let direction = if nesterov { (g + (&b * momentum)?)? } else { b.clone() };
            Ok(((p - (direction * now.learning_rate)?)?, vec![b]))
        }
        (Rule::RmsProp { alpha, eps, momentum, weight_decay }, [s, rest @ ..]) => {
            let g = decayed(g, weight_decay)?;
            let s = ((s * alpha)? + (g.sqr()? * (1.0 - alpha))?)?;
            let mut direction = (g / (s.sqrt()? + eps)?)?;
            let mut state = vec![s];
            if let [b] = rest {
                direction = ((b * momentum)? + direction)?;
                state.push(direction.clone());
            }
            Ok(((p - (direction * now.learning_rate)?)?, state))
        }
        _ => candle_core::bail!("the optimizer's state is not this optimizer's"),
    }
}

/// Σ g².
pub fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    Ok(f64::from(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_vec0::<f32>()?))
}
