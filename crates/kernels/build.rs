//! Makes PTX of the CUDA kernels where the feature `cuda` is on; nothing else needs a compiler.

fn main() {
    #[cfg(feature = "cuda")]
    cuda::build();
}

#[cfg(feature = "cuda")]
mod cuda {
    use cudaforge::KernelBuilder;
    use std::path::Path;
    use std::{env, fs, process};

    pub fn build() {
        // A source may have come.
        println!("cargo:rerun-if-changed=src");
        let all = || builder().source_glob("src/*/cuda/*.cu").source_glob("src/cuda/*.cu");
        let built = all().build_ptx().and_then(|_| {
            // What has to do with half precision is there for f16 too.
            let folder = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("f16");
            fs::create_dir_all(&folder)?;
            let halves = HALVES.iter().fold(builder(), |builder, source| builder.source_glob(source));
            halves.out_dir(folder).arg("-DHALF_IS_F16").build_ptx()
        });
        if let Err(error) = built {
            eprintln!("the CUDA kernels do not compile: {error}");
            process::exit(1)
        }
    }

    /// The sources whose module is `of half precision`.
    const HALVES: [&str; 4] =
        ["src/attention_lstm/cuda/*.cu", "src/conv/cuda/*.cu", "src/cuda/halves.cu", "src/recurrence/cuda/*.cu"];

    fn builder() -> KernelBuilder {
        let headers = ["src/cuda/device.h", "src/cuda/steps.h"];
        KernelBuilder::new().watch(headers).arg("-Isrc/cuda").arg("-std=c++17").arg("-O3")
    }
}
