//! A source whose log files come with what CloudTrail's digests say of them.

use anyhow::Result;
use futures_util::future::BoxFuture;

use super::Source;
use crate::integrity::{FileProof, Validation};
use crate::log_file::{Content, FileError, LogFile, Proof};

/// See the module.
pub(super) struct Validated {
    source: Box<dyn Source>,
    validation: Validation,
    /// The first log file, which was looked up ahead of time.
    first: Option<LogFile>,
}

impl Validated {
    /// If nothing may be shown without proof, this also finds out whether there are digests and keys for them.
    pub async fn open(mut source: Box<dyn Source>, mut validation: Validation) -> Result<Self> {
        let mut first = None;
        if validation.is_strict()
            && let Some(mut file) = source.next().await?
        {
            let proof = validation.prove_first(&file.name, file.delivered).await?;
            add(&mut file, proof);
            first = Some(file);
        }
        Ok(Self {
            source,
            validation,
            first,
        })
    }
}

/// Have a log file proven, in addition to what the source compares it with.
fn add(file: &mut LogFile, proof: FileProof) {
    file.proof = Some(match file.proof.take() {
        None => Box::new(proof),
        Some(other) => Box::new(Both(proof, other)),
    });
}

/// The digests are asked first.
struct Both(FileProof, Box<dyn Proof>);

impl Proof for Both {
    fn is_strict(&self) -> bool {
        self.0.is_strict() || self.1.is_strict()
    }

    fn judge(self: Box<Self>, content: Content) -> BoxFuture<'static, Result<(), FileError>> {
        Box::pin(async move {
            let Self(digests, source) = *self;
            Box::new(digests).judge(content).await?;
            source.judge(content).await
        })
    }
}

impl Source for Validated {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            if let Some(first) = self.first.take() {
                return Ok(Some(first));
            }
            self.validation.check()?;
            let Some(mut file) = self.source.next().await? else {
                self.validation.finish().await?;
                return Ok(None);
            };
            let proof = self.validation.prove(&file.name, file.delivered);
            add(&mut file, proof);
            Ok(Some(file))
        })
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        self.source.closing()
    }
}
