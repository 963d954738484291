use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_crate_outside_the_workspace_compiles_against_the_public_api() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = root.join("tests/downstream");
    let manifest = fs::read_to_string(source.join("Cargo.toml")).unwrap();
    let path = root.join("crates/candlewick").display().to_string().replace('\\', "/");
    fs::write(folder.path().join("Cargo.toml"), manifest.replace("CANDLEWICK", &path)).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::copy(source.join("src/main.rs"), folder.path().join("src/main.rs")).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    // Checked and not built: what it links is tested in the workspace, and a second build of candle takes minutes.
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--target-dir"])
        .arg(root.join("target/downstream"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
