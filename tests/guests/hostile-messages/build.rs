//! Lets the guest's table grow. A linker fixes its size unless it is told not to.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=--growable-table");
}
