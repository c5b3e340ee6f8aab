//! The AWS CLI's files.

use anyhow::{Context, Result};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

use crate::process::platform::user_path;
use crate::settings;

/// The files that the configuration names, the usual ones in the place of those that it doesn't.
pub(super) fn profile_files(settings: &settings::Aws) -> Result<EnvConfigFiles> {
    let mut files = EnvConfigFiles::builder();
    for (kind, key, path) in [
        (EnvConfigFileKind::Config, "aws.config", &settings.config),
        (
            EnvConfigFileKind::Credentials,
            "aws.credentials",
            &settings.credentials,
        ),
    ] {
        let Some(path) = path else {
            files = match kind {
                EnvConfigFileKind::Config => files.include_default_config_file(true),
                _ => files.include_default_credentials_file(true),
            };
            continue;
        };
        let path = user_path(path);
        std::fs::File::open(&path)
            .with_context(|| format!("{key}: {} can't be read", path.display()))?;
        files = files.with_file(kind, path);
    }
    Ok(files.build())
}
