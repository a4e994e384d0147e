//! Libraries for LD_PRELOAD that simulate a faulty host for a service.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};

/// Builds `shim/NAME.c`. Returns the environment variables that load it and set its parameter.
///
/// # Errors
/// A missing C compiler, or its errors.
pub fn preload(folder: &Path, name: &str, setting: (&str, i64)) -> anyhow::Result<[(String, String); 2]> {
    let source = format!("{}/shim/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let library = folder.join(format!("{name}.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
    let output = compiler.output().context("the C compiler `cc` is needed")?;
    if !output.status.success() {
        bail!("cc: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (variable, value) = setting;
    let loaded = ("LD_PRELOAD".to_owned(), library.display().to_string());
    Ok([loaded, (variable.to_owned(), value.to_string())])
}
