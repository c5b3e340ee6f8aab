//! A file that is there as a whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};

/// A file beside the one that it is going to be; removed again if it never is.
pub struct NewFile {
    file: Option<File>,
    path: PathBuf,
    to: PathBuf,
}

impl NewFile {
    /// Makes it.
    pub fn beside(to: &Path) -> Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", process::id()));
        let path = to.with_file_name(name);
        let file = File::create_new(&path)
            .with_context(|| format!("{} can't be written", to.display()))?;
        Ok(Self {
            file: Some(file),
            path,
            to: to.to_owned(),
        })
    }

    /// Fills it and puts it in its place.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        let failed = || format!("{} can't be written", self.to.display());
        if let Some(mut file) = self.file.take() {
            file.write_all(bytes)
                .and_then(|()| file.sync_all())
                .with_context(failed)?;
        }
        fs::rename(&self.path, &self.to).with_context(failed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        drop(self.file.take());
        // Once it is in its place, there is nothing to remove.
        _ = fs::remove_file(&self.path);
    }
}
