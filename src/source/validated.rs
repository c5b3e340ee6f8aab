//! A source whose log files come with what CloudTrail's digests say of them.

use anyhow::Result;
use futures_util::future::BoxFuture;

use super::Source;
use crate::integrity::Validation;
use crate::log_file::LogFile;

/// See the module.
pub(super) struct Validated {
    source: Box<dyn Source>,
    validation: Validation,
    /// The first log file, looked at ahead.
    first: Option<LogFile>,
}

impl Validated {
    /// Where nothing may be shown without proof, it is known after this that there are digests, and keys for them.
    pub async fn open(mut source: Box<dyn Source>, mut validation: Validation) -> Result<Self> {
        let mut first = None;
        if validation.is_strict()
            && let Some(mut file) = source.next().await?
        {
            file.proof = Some(Box::new(
                validation.prove_first(&file.name, file.delivered).await?,
            ));
            first = Some(file);
        }
        Ok(Self {
            source,
            validation,
            first,
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
            file.proof = Some(Box::new(self.validation.prove(&file.name, file.delivered)));
            Ok(Some(file))
        })
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        self.source.closing()
    }
}
