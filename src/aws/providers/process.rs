//! Credentials that a program prints (`credential_process`).

use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::failed;
use super::token_file::time;

/// So many bytes of what a program prints are kept, and so many of the last that it writes to standard error.
const KEPT: usize = 64 << 10;
const LAST: usize = 2 << 10;

/// A program and its arguments. As in the AWS CLI, there is no shell that could make more of them.
#[derive(Debug)]
pub(super) struct Process(Vec<String>);

impl Process {
    pub fn new(words: Vec<String>) -> Self {
        Self(words)
    }

    async fn find(&self) -> provider::Result {
        let (status, output, errors) = self.run().await?;
        if !status.success() {
            let said = String::from_utf8_lossy(&errors);
            return Err(failed(format!(
                "credential_process ended with {status}: {}",
                said.trim()
            )));
        }
        parse(&output).map_err(|why| {
            CredentialsError::invalid_configuration(format!("credential_process printed {why}"))
        })
    }

    /// Run it, and return what it has printed. It ends with its caller.
    async fn run(&self) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), CredentialsError> {
        let (program, args) = self.0.split_first().ok_or_else(|| failed("no program"))?;
        let can_t_run = |error: std::io::Error| {
            let why = format!("credential_process: {program} can't be run: {error}");
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                    CredentialsError::invalid_configuration(why)
                }
                _ => failed(why),
            }
        };
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(can_t_run)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::try_join!(
            child.wait(),
            kept(stdout, Part::Beginning),
            kept(stderr, Part::End)
        );
        ended.map_err(can_t_run)
    }
}

/// What of a program's words is kept.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Up to [`KEPT`] bytes.
    Beginning,
    /// Up to [`LAST`] bytes: the reason why it fails comes last.
    End,
}

/// A part of what a program says; all of it is read, since otherwise it would wait.
async fn kept(pipe: Option<impl AsyncRead + Unpin>, part: Part) -> std::io::Result<Vec<u8>> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    let Some(mut pipe) = pipe else {
        return Ok(kept);
    };
    loop {
        let read = pipe.read(&mut buffer).await?;
        if read == 0 {
            return Ok(kept);
        }
        match part {
            Part::Beginning => {
                let room = KEPT.saturating_sub(kept.len()).min(read);
                kept.extend(&buffer[..room]);
            }
            Part::End => {
                kept.extend(&buffer[..read]);
                kept.drain(..kept.len().saturating_sub(LAST));
            }
        }
    }
}

/// Credentials, or what was printed in their place. Nothing of it is repeated, for it may be secret.
fn parse(output: &[u8]) -> Result<Credentials, String> {
    let found: Value = serde_json::from_slice(output).map_err(|_| "something else than JSON")?;
    if found["Version"].as_f64() != Some(1.0) {
        return Err("JSON without \"Version\": 1".to_owned());
    }
    let text = |name: &str| found[name].as_str().map(str::to_owned);
    let has_no = |name: &str| format!("JSON without {name}");
    let expiry = match text("Expiration") {
        Some(end) => Some(time(&end).ok_or("an Expiration that is not a time")?),
        None => None,
    };
    Ok(Credentials::new(
        text("AccessKeyId").ok_or_else(|| has_no("AccessKeyId"))?,
        text("SecretAccessKey").ok_or_else(|| has_no("SecretAccessKey"))?,
        text("SessionToken"),
        expiry,
        "CredentialProcess",
    ))
}

impl ProvideCredentials for Process {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    async fn found(words: &[&str]) -> provider::Result {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Process::new(words).find().await
    }

    #[tokio::test]
    async fn arguments_are_not_read_by_a_shell() {
        let answer = r#"{"Version": 1, "AccessKeyId": "$HOME `id` *", "SecretAccessKey": "'\""}"#;
        let keys = found(&["printf", "%s", answer]).await.unwrap();
        assert_eq!(keys.access_key_id(), "$HOME `id` *");
        assert_eq!(keys.secret_access_key(), "'\"");
    }

    #[tokio::test]
    async fn of_what_a_process_prints_without_end_little_is_kept() {
        let printed = found(&["head", "-c", "100000000", "/dev/zero"]).await;
        assert!(printed.is_err());
        let mut endless = Command::new("head")
            .args(["-c", "100000000", "/dev/zero"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = kept(endless.stdout.take(), Part::Beginning).await.unwrap();
        assert_eq!(printed.len(), KEPT);
        assert!(endless.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn an_error_tells_what_may_pass_from_what_does_not() {
        let needs_action = async |words: &[&str]| {
            let error = found(words).await.unwrap_err();
            matches!(error, CredentialsError::InvalidConfiguration(_))
        };
        assert!(needs_action(&["/nowhere/program"]).await);
        assert!(needs_action(&["echo", "secret"]).await);
        assert!(!needs_action(&["false"]).await);
        let much = "yes warning | head -c 280000 >&2; echo the reason >&2; exit 3";
        let error = found(&["sh", "-c", much]).await.unwrap_err();
        let text = crate::aws::sdk_error::chain(&error);
        assert!(text.ends_with("the reason") && text.len() < 3000, "{text}");
        let error = found(&["echo", "secret"]).await.unwrap_err();
        assert!(!crate::aws::sdk_error::chain(&error).contains("secret"));
    }
}
