//! Compiles the schemas of `../proto` with generators that need no protoc on the machine.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use prost::Message as _;

const ROOT: &str = "../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    messages()?;
    #[cfg(feature = "ttrpc-client")]
    clients()?;
    Ok(())
}

/// prost's messages.
fn messages() -> Result<(), Box<dyn Error>> {
    let files = [
        "runtime/v1/runtime.proto",
        "runtime/election/v1/elections.proto",
        "runtime/election/v1/election.proto",
        "atomix/primitive/primitive.proto",
        "atomix/headers/headers.proto",
        "atomix/leader/latch.proto",
        "tenure/v1/connection.proto",
        "tenure/v1/sessions.proto",
        "tenure/v1/elections.proto",
        "tenure/v1/storage.proto",
        "ttrpc/request.proto",
    ];
    let set = protox::compile(files, [ROOT])?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.binpb"), set.encode_to_vec())?;
    // Maps in the order of their keys, so that bytes can be compared.
    let mut config = prost_build::Config::new();
    config.include_file("_all.rs").btree_map(["."]).compile_fds(set)?;
    Ok(())
}

/// The services' clients as the `ttrpc` crate makes them, with messages of their own.
#[cfg(feature = "ttrpc-client")]
fn clients() -> Result<(), Box<dyn Error>> {
    let atomix = [
        "runtime/v1/runtime.proto",
        "runtime/election/v1/elections.proto",
        "runtime/election/v1/election.proto",
        "atomix/primitive/primitive.proto",
        "atomix/headers/headers.proto",
        "atomix/leader/latch.proto",
    ];
    generate("ttrpc", &atomix)?;
    // In a folder of their own: both packages have an `elections`.
    let tenure = [
        "tenure/v1/connection.proto",
        "tenure/v1/sessions.proto",
        "tenure/v1/elections.proto",
        "tenure/v1/storage.proto",
    ];
    generate("ttrpc_tenure", &tenure)
}

#[cfg(feature = "ttrpc-client")]
fn generate(folder: &str, files: &[&str]) -> Result<(), Box<dyn Error>> {
    let folder = std::path::Path::new(&std::env::var("OUT_DIR")?).join(folder);
    std::fs::create_dir_all(&folder)?;
    ttrpc_codegen::Codegen::new()
        .out_dir(&folder)
        .include(ROOT)
        .inputs(files.iter().map(|file| format!("{ROOT}/{file}")))
        .rust_protobuf()
        .customize(ttrpc_codegen::Customize { async_all: true, ..Default::default() })
        .run()?;
    // The generator's own list leaves out the services.
    let mut list = String::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if let Some(name) = name.strip_suffix(".rs").filter(|&name| name != "mod") {
            list.push_str(&format!("pub mod {name};\n"));
        }
    }
    std::fs::write(folder.join("mod.rs"), list)?;
    Ok(())
}
