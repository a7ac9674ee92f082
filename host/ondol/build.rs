//! Builds the crate again when a file appears in what `ondol new` takes out of the binary: `include_dir!` sees only changes
//! of files that it knows.

fn main() {
    for directory in ["wit", "handlers", "templates", "examples"] {
        println!("cargo::rerun-if-changed=../../{directory}");
    }
}
