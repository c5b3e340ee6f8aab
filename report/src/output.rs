//! Where the page goes: a file that is there as a whole or not at all, or what is no file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};

/// Where to.
pub enum Output {
    /// `-`
    Stdout,
    /// A pipe or a device.
    Stream(PathBuf),
    /// A file that is made, or replaced by one with the same permissions.
    File(PathBuf, Option<Permissions>),
}

impl Output {
    /// What is of this name. Fails where a page can't be written, so that nobody waits for one in vain.
    pub fn at(path: &Path) -> Result<Self> {
        if path == "-" {
            return Ok(Self::Stdout);
        }
        let (to, permissions) = match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                bail!("{} is a folder: name a file in it", path.display())
            }
            Ok(found) if !found.is_file() => return Ok(Self::Stream(path.to_owned())),
            // A link stays, and what it leads to is replaced.
            Ok(found) => {
                let to = path.canonicalize().with_context(|| failed(path))?;
                (to, Some(found.permissions()))
            }
            Err(_) => (path.to_owned(), None),
        };
        let new = beside(&to);
        File::create_new(&new)
            .and_then(|_| fs::remove_file(&new))
            .with_context(|| failed(path))?;
        Ok(Self::File(to, permissions))
    }

    /// Writes it.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout => io::stdout()
                .write_all(bytes)
                .context("the page can't be written to standard output"),
            Self::Stream(path) => OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|mut stream| stream.write_all(bytes))
                .with_context(|| failed(path)),
            Self::File(path, permissions) => {
                let new = beside(path);
                let written = File::create_new(&new).and_then(|mut file| {
                    if let Some(permissions) = permissions {
                        file.set_permissions(permissions.clone())?;
                    }
                    file.write_all(bytes)?;
                    file.sync_all()?;
                    fs::rename(&new, path)
                });
                written
                    .inspect_err(|_| _ = fs::remove_file(&new))
                    .with_context(|| failed(path))
            }
        }
    }
}

fn failed(path: &Path) -> String {
    format!("{} can't be written", path.display())
}

/// Where a file is made before it is put in its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", process::id()));
    path.with_file_name(name)
}
