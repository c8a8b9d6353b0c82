//! Compiles the CUDA kernels where the feature `cuda` asks for them: each `src/engine/cuda/kernels/*.cu` to one fat
//! binary in `OUT_DIR`, which the program carries within itself.
//!
//! `nvcc` is `$NVCC`, or `bin/nvcc` under `$CUDA_HOME` or `$CUDA_PATH`, or the one on the PATH. With
//! `FLUX_TUI_KERNELS=skip` empty files take the kernels' place: enough to check the types on a machine without nvcc; the
//! program then says what it lacks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const KERNELS: &str = "src/engine/cuda/kernels";

/// Machine code for each generation of cards, and intermediate code for those to come.
const EVERY_CARD: &[&str] = &[
    "arch=compute_80,code=sm_80",
    "arch=compute_86,code=sm_86",
    "arch=compute_89,code=sm_89",
    "arch=compute_90,code=sm_90",
    "arch=compute_120,code=sm_120",
    "arch=compute_80,code=compute_80",
];
/// For files that use what only Hopper has: their names end in `_sm90`.
const HOPPER: &[&str] = &["arch=compute_90a,code=sm_90a"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo::rerun-if-changed={KERNELS}");
    for name in ["NVCC", "CUDA_HOME", "CUDA_PATH", "FLUX_TUI_KERNELS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let sources = sources();
    if env::var("FLUX_TUI_KERNELS").is_ok_and(|how| how == "skip") {
        for source in &sources {
            fs::write(fat_binary(&out, source), []).expect("OUT_DIR can be written");
        }
        println!("cargo::rustc-env=FLUX_TUI_NVCC=none");
        return;
    }
    let nvcc = nvcc();
    println!("cargo::rustc-env=FLUX_TUI_NVCC={}", version(&nvcc));
    thread::scope(|scope| {
        for source in &sources {
            scope.spawn(|| compile(&nvcc, source, &fat_binary(&out, source)));
        }
    });
}

fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir(KERNELS).unwrap_or_else(|error| panic!("{KERNELS} cannot be read: {error}"));
    let paths = entries.map(|entry| entry.expect("a directory entry can be read").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "cu")).collect()
}

fn fat_binary(out: &Path, source: &Path) -> PathBuf {
    out.join(source.with_extension("fatbin").file_name().expect("a source has a name"))
}

fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let roots = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
    roots.map(|root| Path::new(&root).join("bin/nvcc")).find(|nvcc| nvcc.exists()).unwrap_or("nvcc".into())
}

/// `13.0`, out of `Cuda compilation tools, release 13.0, V13.0.88`.
fn version(nvcc: &Path) -> String {
    let told = Command::new(nvcc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let release = told.split("release ").nth(1).and_then(|rest| rest.split(',').next());
    release.unwrap_or("of an unknown version").to_owned()
}

fn compile(nvcc: &Path, source: &Path, out: &Path) {
    let hopper = source.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("_sm90"));
    let mut command = Command::new(nvcc);
    command.args(["-std=c++17", "-O3", "-fatbin", "-Xfatbin", "-compress-all"]);
    for target in if hopper { HOPPER } else { EVERY_CARD } {
        command.args(["-gencode", target]);
    }
    command.arg(source).arg("-o").arg(out);
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("nvcc could not compile {}: {status}", source.display()),
        Err(error) => panic!(
            "the feature `cuda` needs nvcc 12.8 or later, and {} could not be started: {error}. Set CUDA_HOME, or \
             FLUX_TUI_KERNELS=skip to check the types only",
            nvcc.display()
        ),
    }
}
