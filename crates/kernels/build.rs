//! Makes PTX of the CUDA kernels where the feature `cuda` is on; nothing else needs a compiler.

fn main() {
    #[cfg(feature = "cuda")]
    cuda::build();
}

#[cfg(feature = "cuda")]
mod cuda {
    use cudaforge::KernelBuilder;
    use std::process;

    pub fn build() {
        // A source may have come.
        println!("cargo:rerun-if-changed=src");
        let built = KernelBuilder::new()
            .source_glob("src/*/cuda/*.cu")
            .source_glob("src/cuda/*.cu")
            .watch(["src/cuda/device.h", "src/cuda/steps.h"])
            .arg("-Isrc/cuda")
            .arg("-std=c++17")
            .arg("-O3")
            .build_ptx();
        if let Err(error) = built {
            eprintln!("the CUDA kernels do not compile: {error}");
            process::exit(1)
        }
    }
}
