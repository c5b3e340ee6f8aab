//! Tokens that the AWS CLI keeps in files for `aws sso login` and `aws login`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use jiff::Timestamp;
use serde_json::Value;

use super::LoggedOut;
use crate::process::platform::replace_file;

/// More than any token has, in bytes.
const LARGEST: u64 = 1 << 20;

/// A file with a token.
#[derive(Debug)]
pub(super) struct TokenFile {
    /// What users know the token as.
    pub what: &'static str,
    /// What writes the file.
    pub command: &'static str,
    pub path: PathBuf,
}

impl TokenFile {
    /// What it holds.
    pub fn read(&self) -> Result<Value, CredentialsError> {
        let mut text = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        match read {
            Ok(_) => serde_json::from_slice(&text).map_err(|_| self.log_in("is not JSON")),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.log_in("is not there")),
            Err(error) => Err(CredentialsError::invalid_configuration(format!(
                "{} can't be read: {error}",
                self.name()
            ))),
        }
    }

    /// Put others' next token there; where that can't be done they renew it, too. Another process may do the same.
    pub fn replace(&self, token: &Value) {
        let part = self
            .path
            .with_extension(format!("json.{}", fastrand::u64(..)));
        _ = replace_file(&self.path, &part, token.to_string().as_bytes());
    }

    /// The error where nothing but another login helps.
    pub fn log_in(&self, why: &str) -> CredentialsError {
        CredentialsError::provider_error(LoggedOut {
            command: self.command,
            why: format!("{} {why}", self.name()),
        })
    }

    fn name(&self) -> String {
        format!("the {} in {}", self.what, self.path.display())
    }

    /// A member that is text.
    pub fn text(&self, token: &Value, name: &str) -> Result<String, CredentialsError> {
        match token[name].as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.log_in(&format!("has no {name}"))),
        }
    }

    /// When it ends.
    pub fn end(&self, token: &Value) -> Result<SystemTime, CredentialsError> {
        time(&self.text(token, "expiresAt")?)
            .ok_or_else(|| self.log_in("has an expiresAt that is not a time"))
    }
}

/// The time so many seconds from now, as the CLI writes it.
pub(super) fn written(now: SystemTime, seconds: i32) -> Option<String> {
    let seconds = std::time::Duration::from_secs(seconds.try_into().ok()?);
    let end = Timestamp::try_from(now.checked_add(seconds)?).ok()?;
    Some(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A time in a form that the CLI writes or reads: `…Z`, `…UTC`, with an offset with or without a colon.
pub(super) fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let text = match text.strip_suffix("UTC") {
        Some(time) => format!("{}Z", time.trim_end()),
        None => text.to_owned(),
    };
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_of_a_token_is_read_in_each_form() {
        let expected = time("2024-03-05T12:00:00Z");
        assert!(expected.is_some());
        for form in [
            "2024-03-05T12:00:00UTC",
            "2024-03-05T12:00:00 UTC",
            "2024-03-05T13:00:00+01:00",
            "2024-03-05T13:00:00+0100",
            "2024-03-05 12:00:00Z",
            "2024-03-05T12:00:00.000Z",
            " 2024-03-05T12:00:00+00:00 ",
        ] {
            assert_eq!(time(form), expected, "{form}");
        }
        assert_eq!(time("2024-03-05T12:00:00"), None);
        assert_eq!(time("soon"), None);
    }

    #[test]
    fn the_end_of_a_token_is_written_as_it_is_read() {
        let now = time("2024-03-05T12:00:00.9Z").unwrap();
        let end = written(now, 900).unwrap();
        assert_eq!(end, "2024-03-05T12:15:00Z");
        assert_eq!(written(now, -1), None);
    }
}
