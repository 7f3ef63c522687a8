//! Puts the shipped bundles into the program: whatever folders `profiles/`
//! has. No provider is named here; the list is made from the tree.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut bundles: Vec<_> = fs::read_dir(&folder)?
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path().join("bundle.json"))
        .filter(|bundle| bundle.is_file())
        .collect();
    bundles.sort();
    let mut code = String::from("&[\n");
    for bundle in bundles {
        let path = bundle.canonicalize()?;
        println!("cargo::rerun-if-changed={}", path.display());
        code += &format!("    include_str!({path:?}),\n");
    }
    code += "]\n";
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("shipped.rs"), code)
}
