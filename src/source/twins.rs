//! Log files that are there twice, in a copy of the trail or unpacked beside the packed file. They are recognised by
//! their name, and read only once if their content is the same.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;

use crate::log_file::{Content, FileError, LogFile, Proof, Sha256};
use crate::process::lock;
use crate::stats::Stats;

/// A log file's name, without its folder and `.gz`.
pub(super) fn name(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".gz").unwrap_or(name)
}

/// Log files of one name.
#[derive(Debug)]
pub(super) struct Twins {
    /// Those that were read: the hash of their content, and the name for errors.
    read: Mutex<Vec<(Sha256, String)>>,
    stats: Arc<Stats>,
}

impl Twins {
    pub fn new(stats: &Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            read: Mutex::default(),
            stats: Arc::clone(stats),
        })
    }

    /// Have a log file compared with the others of its name before any event of it is handed over.
    pub fn join(self: &Arc<Self>, file: &mut LogFile) {
        file.proof = Some(Box::new(Compared {
            twins: Arc::clone(self),
            name: file.name.clone(),
            proof: file.proof.take(),
        }));
    }

    /// Was a log file with this content read already? False if the content can't be compared, so that it is read.
    fn has_read(&self, name: &str, content: Content) -> bool {
        let Content::Whole(hash) = content else {
            return false;
        };
        let mut read = lock(&self.read);
        if let Some((_, other)) = read.iter().find(|(other, _)| *other == hash) {
            self.stats
                .note(format!("{name}: is the same as {other}, and is read once"));
            return true;
        }
        if let Some((_, other)) = read.first() {
            self.stats.warn(format!(
                "{name}: has the name of {other} and holds something else: both are read, so events may come twice"
            ));
        }
        read.push((hash, name.to_owned()));
        false
    }
}

/// A log file that others are to be compared with, and what else is to be proven of it.
struct Compared {
    twins: Arc<Twins>,
    name: String,
    proof: Option<Box<dyn Proof>>,
}

impl Proof for Compared {
    fn is_strict(&self) -> bool {
        true
    }

    fn judge(self: Box<Self>, content: Content) -> BoxFuture<'static, Result<(), FileError>> {
        Box::pin(async move {
            if let Some(proof) = self.proof {
                proof.judge(content).await?;
            }
            match self.twins.has_read(&self.name, content) {
                true => Err(FileError::Repeated),
                false => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_compared_by_the_name_without_gz() {
        for path in ["s3://b/AWSLogs/x.json.gz", "x.json", r"C:\copy\x.json.gz"] {
            assert_eq!(name(path), "x.json");
        }
    }

    #[test]
    fn only_equal_content_is_read_once() {
        let stats = Arc::default();
        let twins = Twins::new(&stats);
        let whole = |byte: u8| Content::Whole([byte; 32]);
        assert!(!twins.has_read("a", whole(1)));
        assert!(twins.has_read("b", whole(1)));
        assert!(!twins.has_read("c", whole(2)));
        assert!(twins.has_read("d", whole(2)));
        assert!(!twins.has_read("e", Content::Broken) && !twins.has_read("f", Content::TooLarge));
        let log = format!("{:?}", stats.take_notes());
        assert!(
            log.contains("b: is the same as a") && log.contains("c: has the name of a"),
            "{log}"
        );
    }
}
