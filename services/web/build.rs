//! The pages' scripts and styles are built by Vite into `ui/dist`, which is not kept in version control. The folder
//! must be there to be embedded; where it is empty, the pages work without them and a log line names the command that builds them.

fn main() -> std::io::Result<()> {
    std::fs::create_dir_all("ui/dist")?;
    println!("cargo::rerun-if-changed=ui/dist");
    Ok(())
}
