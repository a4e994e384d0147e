//! Small disks, for faults with a full disk.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// A disk of a few megabytes in memory. Unmounted when dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk at a folder, which is created.
    ///
    /// # Errors
    /// If mounting is not permitted.
    pub fn mount(path: &Path, megabytes: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        let size = format!("size={megabytes}m");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes until the disk is full.
    ///
    /// # Errors
    /// If the disk cannot be written for another reason.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.path.join("filler"))?;
        loop {
            match filler.write(&[0; 4_096]) {
                Ok(_) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
    }

    /// Increases the size of the disk; its files stay.
    ///
    /// # Errors
    /// Errors of `mount`.
    pub fn grow(&self, megabytes: u32) -> anyhow::Result<()> {
        mount(&["-o", &format!("remount,size={megabytes}m")], &self.path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A disk in use is removed after its last use.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

fn mount(args: &[&str], path: &Path) -> anyhow::Result<()> {
    let output = Command::new("mount").args(args).arg(path).output().context("the command `mount`")?;
    if !output.status.success() {
        bail!("mount: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
