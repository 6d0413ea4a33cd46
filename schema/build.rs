//! Compiles the schemas of `../proto` with protox, which needs no protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../proto";
    let files = [
        "runtime/v1/runtime.proto",
        "runtime/election/v1/elections.proto",
        "runtime/election/v1/election.proto",
        "atomix/primitive/primitive.proto",
        "atomix/headers/headers.proto",
        "atomix/leader/latch.proto",
        "ttrpc/request.proto",
    ];
    println!("cargo::rerun-if-changed={root}");
    let set = protox::compile(files, [root])?;
    prost_build::Config::new().include_file("_all.rs").compile_fds(set)?;
    Ok(())
}
