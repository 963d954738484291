#![allow(clippy::unwrap_used)]
use super::*;
use crate::cuda::emulator::emulated;
use crate::node::backward;
use crate::test_values::test_values;
use candle_core::{DType, Device, Var};

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::from_vec(test_values(seed, shape.iter().product()), shape, &Device::Cpu).unwrap()
}

#[test]
fn rows_and_their_gradients_are_the_same_on_cuda() {
    let ids = Tensor::new(&[[3u32, 0, 3, 6], [1, 3, 0, 2]], &Device::Cpu).unwrap();
    for (seed, width) in [5, 300].into_iter().enumerate() {
        let weight = Var::from_tensor(&tensor(1, &[7, width])).unwrap();
        let factor = tensor(2, &[2, 4, width]);
        for ids in [ids.clone(), ids.to_dtype(DType::I64).unwrap(), ids.t().unwrap().t().unwrap()] {
            let run = || {
                let rows = embedding(&weight, &ids).unwrap();
                let store = backward(&(&rows * &factor).unwrap().sum_all().unwrap()).unwrap();
                [rows.flatten_all().unwrap(), store.get(&weight).unwrap().flatten_all().unwrap()]
            };
            let (wanted, Some(found)) = (run(), emulated(seed as u64, run).unwrap()) else { return };
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(found.to_vec1::<f32>().unwrap(), wanted.to_vec1::<f32>().unwrap());
            }
        }
    }
}

#[test]
fn a_number_without_a_row_is_told() {
    let weight = tensor(1, &[3, 2]);
    let ids = Tensor::new(&[2u32, 3], &Device::Cpu).unwrap();
    assert!(embedding(&weight, &ids).unwrap_err().to_string().contains("wants ids below V = 3"));
    let Some(found) = emulated(1, || embedding(&weight, &ids).unwrap()).unwrap() else { return };
    let found = found.to_vec2::<f32>().unwrap();
    assert!(found[0].iter().all(|x| x.is_finite()) && found[1].iter().all(|x| x.is_nan()));
}
