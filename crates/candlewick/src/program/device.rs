//! From `--device` to a device.

use super::Failure;
use super::arguments::DeviceArguments;
use candlewick::candle::Device;
use candlewick::candle::utils::{cuda_is_available, metal_is_available};
use candlewick::kernels::device;
use candlewick::kernels::precision::set_float32_matmul_precision;
use candlewick::kernels::thread_pool::STACK;

/// The most CPU threads where there are fewer cores.
const MOST_THREADS: usize = 256;

const KNOWN: &str = "auto, cpu, cuda, cuda:N, metal and metal:N";

/// The device that the arguments ask for, and how it is called.
///
/// # Errors
/// When no device has the name, or the program was built without it.
pub fn open(arguments: &DeviceArguments) -> Result<(Device, String), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK);
    if let Some(Ok(threads)) = std::env::var("RAYON_NUM_THREADS").ok().map(|threads| threads.parse()) {
        within("RAYON_NUM_THREADS", threads)?;
    }
    match arguments.threads {
        Some(0) => return Err(Failure::usage("--threads is 0; one thread is the least")),
        Some(threads) => {
            within("--threads", threads)?;
            pool.num_threads(threads).build_global()?;
        }
        // One that is there already serves too.
        None => _ = pool.build_global(),
    }
    set_float32_matmul_precision(arguments.precision.unwrap_or_default());
    let (kind, index) = match arguments.device.split_once(':') {
        Some((kind, index)) => (kind, index.parse::<usize>().map_err(|_| unknown(&arguments.device))?),
        None => (arguments.device.as_str(), 0),
    };
    if kind == "auto" && arguments.device.contains(':') {
        return Err(unknown(&arguments.device));
    }
    let kind = match kind {
        "auto" if cuda_is_available() => "cuda",
        "auto" if metal_is_available() => "metal",
        "auto" => "cpu",
        given => given,
    };
    match kind {
        "cpu" if index == 0 => Ok((Device::Cpu, "cpu".into())),
        "cuda" | "metal" => {
            let built = if kind == "cuda" { cuda_is_available() } else { metal_is_available() };
            if !built {
                let advice = format!("build it with --features {kind}, or take --device cpu");
                return Err(Failure::usage(format!("device {kind}: this program was built without it; {advice}")));
            }
            let device = if kind == "cuda" { device::cuda(index) } else { Device::new_metal(index) };
            let device =
                device.map_err(|error| Failure::Work(format!("device {kind}:{index}: {error}; take --device cpu")))?;
            Ok((device, format!("{kind}:{index}")))
        }
        _ => Err(unknown(&arguments.device)),
    }
}

/// Refuses more threads than could ever help: starting thousands takes longer than the work.
fn within(setting: &str, threads: usize) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = MOST_THREADS.max(cores);
    match threads <= most {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{setting} is {threads}; this machine has {cores} cores, and {most} threads are the most"
        ))),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!("device {name}: no such device; there are {KNOWN}"))
}
