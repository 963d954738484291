//! x
#![allow(clippy::unwrap_used)]
use candle_core::*;
use candlewick_kernels::{attend::additive, recurrence::*};
use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 { let mut b = f64::MAX; for _ in 0..12 { let t = Instant::now(); f(); b = b.min(t.elapsed().as_secs_f64()*1e3); } b }
#[test]
fn measure() {
    let d = Device::Cpu;
    let r = |s: &[usize]| Var::from_tensor(&Tensor::randn(0f32, 1.0, s, &d).unwrap()).unwrap();
    let (n,p,a,c) = (32,49,512,2048);
    let (k,q,v,an) = (r(&[n,p,a]), r(&[n,a]), r(&[a]), r(&[n,p,c]));
    let det = |x: &Var| x.as_detached_tensor();
    println!("attend fwd {:.2}", best(|| { additive(&det(&k),&det(&q),&det(&v),&det(&an)).unwrap(); }));
    println!("attend fwd+bwd frozen {:.2}", best(|| { let (x,al)=additive(&k,&q,&v,&det(&an)).unwrap(); (x.sum_all().unwrap()+al.sqr().unwrap().sum_all().unwrap()).unwrap().backward().unwrap(); }));
    println!("attend fwd+bwd all {:.2}", best(|| { let (x,al)=additive(&k,&q,&v,&an).unwrap(); (x.sum_all().unwrap()+al.sqr().unwrap().sum_all().unwrap()).unwrap().backward().unwrap(); }));
    for (n,t,h) in [(32,64,512),(64,20,512),(50,50,128)] {
        for g in [4,3,1] {
            let (x,w,h0,c0)=(r(&[n,t,g*h]), r(&[g*h,h]), r(&[n,h]), r(&[n,h]));
            let run = |x:&Tensor,w:&Tensor,h0:&Tensor,c0:&Tensor| match g { 4 => lstm(x,w,h0,c0,None,false).unwrap().0, 3 => gru(x,w,None,h0,None,false).unwrap().0, _ => rnn(x,w,h0,Nonlinearity::Tanh,None,false).unwrap().0 };
            let f = best(|| { run(&det(&x),&det(&w),&det(&h0),&det(&c0)); });
            let b = best(|| { run(&x,&w,&h0,&c0).sum_all().unwrap().backward().unwrap(); });
            println!("gates {g} N{n} T{t} H{h}: fwd {f:.1} fwd+bwd {b:.1} (without input product)");
        }
    }
}
