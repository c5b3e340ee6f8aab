//! Tokens that the AWS CLI keeps in files for `aws sso login` and `aws login`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use jiff::Timestamp;
use serde_json::Value;

use super::LoggedOut;
use crate::aws::files;
use crate::process::lock;
use crate::process::platform::replace_file;

/// A file with a token.
#[derive(Debug)]
pub(super) struct TokenFile {
    /// What users know the token as.
    what: &'static str,
    path: PathBuf,
    /// What writes the file.
    command: String,
    /// The token in the file, and another one that came in its place and could not be written.
    unwritten: Mutex<Option<(Value, Value)>>,
}

impl TokenFile {
    /// `command` is what writes it for a profile.
    pub fn new(what: &'static str, path: PathBuf, command: &str, profile: &str) -> Self {
        let is_plain = |char: char| char.is_alphanumeric() || "-_.@/".contains(char);
        let profile = match profile.chars().all(is_plain) {
            true => profile.to_owned(),
            false => format!("'{}'", profile.replace('\'', r"'\''")),
        };
        Self {
            what,
            path,
            command: format!("{command} --profile {profile}"),
            unwritten: Mutex::default(),
        }
    }

    /// What it holds, or what came in its place.
    pub fn read(&self) -> Result<Value, CredentialsError> {
        let found: Value = match files::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_| self.log_in("is not JSON"))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(self.log_in("is not there"));
            }
            Err(error) => {
                return Err(CredentialsError::invalid_configuration(format!(
                    "{} can't be read: {error}",
                    self.name()
                )));
            }
        };
        let unwritten = lock(&self.unwritten);
        Ok(match &*unwritten {
            Some((replaced, newer)) if *replaced == found => newer.clone(),
            _ => found,
        })
    }

    /// What another program has put in the place of a token that was read, if it has: two that renew it at the same time ask with
    /// the same refresh token, and one of them may be refused.
    pub fn renewed_by_others(&self, read: &Value) -> Option<Value> {
        self.read().ok().filter(|now| now != read)
    }

    /// Put another token in the place of one that was read, for other programs, too; where it can't be written, for this one.
    pub fn replace(&self, old: &Value, new: &Value) {
        let part = self
            .path
            .with_extension(format!("json.{}", fastrand::u64(..)));
        let mut unwritten = lock(&self.unwritten);
        let replaced = match unwritten.take() {
            Some((replaced, newer)) if newer == *old => replaced,
            _ => old.clone(),
        };
        if replace_file(&self.path, &part, new.to_string().as_bytes()).is_err() {
            *unwritten = Some((replaced, new.clone()));
        }
    }

    /// The error where nothing but another login helps.
    pub fn log_in(&self, why: &str) -> CredentialsError {
        CredentialsError::provider_error(LoggedOut {
            command: self.command.clone(),
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

/// A time in a form that the CLI writes or reads: `…Z`, `…UTC`, with an offset with or without a colon, or as in mails. What lies
/// beyond all times never comes.
pub(super) fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let zulu = ["UTC", "GMT"]
        .iter()
        .find_map(|zone| text.strip_suffix(zone));
    let text = match zulu {
        Some(time) if !text.contains(',') => format!("{}Z", time.trim_end()),
        _ => text.replace(" +", "+"),
    };
    if text.starts_with("9999-12-3") {
        return Some(Timestamp::MAX.into());
    }
    let parsed = text.parse::<Timestamp>().ok();
    let parsed = parsed.or_else(|| {
        let mail = jiff::fmt::rfc2822::parse(&text.replace('+', " +"));
        mail.ok().map(|time| time.timestamp())
    });
    parsed.map(SystemTime::from)
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
            "2024-03-05T12:00:00 +00:00",
            "2024-03-05T12:00:00 GMT",
            "Tue, 05 Mar 2024 12:00:00 GMT",
            "Tue, 05 Mar 2024 13:00:00 +0100",
        ] {
            assert_eq!(time(form), expected, "{form}");
        }
        assert_eq!(time("2024-03-05T12:00:00"), None);
        assert_eq!(time("soon"), None);
        assert!(time("9999-12-31T23:59:59Z") > time("9998-01-01T00:00:00Z"));
    }

    #[test]
    fn the_end_of_a_token_is_written_as_it_is_read() {
        let now = time("2024-03-05T12:00:00.9Z").unwrap();
        let end = written(now, 900).unwrap();
        assert_eq!(end, "2024-03-05T12:15:00Z");
        assert_eq!(written(now, -1), None);
    }
}
