//! What reflection tells is what the schemas say. `TENURE_REWRITE=1` compiles them anew.

use std::fs;
use std::path::Path;

use tenure_schema::DESCRIPTORS;

#[test]
fn the_compiled_schemas_are_those_in_proto() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/descriptors.binpb");
    if std::env::var_os("TENURE_REWRITE").is_some() {
        fs::write(&file, DESCRIPTORS).unwrap();
    }
    let kept = fs::read(&file).unwrap();
    assert!(kept == DESCRIPTORS, "run this test with TENURE_REWRITE=1");
}
