//! Compiles every file below `proto/` with a protobuf compiler in Rust, so no `protoc` is needed.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

const ROOT: &str = "../../proto";
const WORKLOAD_API: &str = "spiffe/workload/workload.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let root = Path::new(ROOT);
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort();

    // Maps are ordered and bytes are shared, so that an answer encodes the same way each time and
    // copies of it are cheap.
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        .compile_fds(protox::compile(&files, [root])?)?;
    write_workload_descriptor(root)
}

/// Finds the `.proto` files below `folder`, named relative to `root` as imports name them.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

/// Reflection on the workload socket tells of the Workload API alone.
fn write_workload_descriptor(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).open_file(WORKLOAD_API)?;
    let folder = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(
        Path::new(&folder).join("workload.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    Ok(())
}
