//! Where the AWS CLI would take credentials from: the environment, what a profile says, roles on top of that, the
//! container, the machine. In its order, which is not that of the SDK.

use anyhow::{Context, Result, bail, ensure};

use super::files::{Files, Keys, variable};
use super::ini;

/// What credentials begin with, and the roles that are assumed with them, one after the other.
#[derive(Debug, PartialEq)]
pub(super) struct Chain {
    pub base: Base,
    pub roles: Vec<Role>,
}

/// Credentials that need no others.
#[derive(Debug, PartialEq)]
pub(super) enum Base {
    /// Those of the environment's variables.
    Environment,
    Keys {
        access_key: String,
        secret_key: String,
        token: Option<String>,
    },
    WebIdentity(WebIdentity),
    SingleSignOn(SingleSignOn),
    /// A session of `aws login`.
    Login {
        session: String,
        /// The profile that names it.
        profile: String,
    },
    /// The words of a command.
    Process(Vec<String>),
    Container,
    Instance,
}

#[derive(Debug, PartialEq)]
pub(super) struct WebIdentity {
    pub token_file: String,
    pub role_arn: String,
    pub session_name: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct SingleSignOn {
    /// The profile that asks for it.
    pub profile: String,
    /// Without one, the token is kept by the URL.
    pub session: Option<String>,
    pub start_url: String,
    pub region: String,
    pub account: String,
    pub role: String,
}

/// A role of a profile.
#[derive(Debug, PartialEq)]
pub(super) struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session_name: Option<String>,
    pub seconds: Option<i32>,
}

impl Chain {
    fn of(base: Base) -> Self {
        Self {
            base,
            roles: Vec::new(),
        }
    }

    /// The chain for the profile in use. One that the settings name, or one of files that they name, comes before the
    /// environment.
    pub fn find(files: &Files, profile_first: bool) -> Result<Self> {
        let has_keys = variable("AWS_ACCESS_KEY_ID").is_some();
        if has_keys && !profile_first {
            return Ok(Self::of(Base::Environment));
        }
        if let Some(chain) = of_profile(files, &files.profile, &mut Vec::new(), true)? {
            return Ok(chain);
        }
        if has_keys && files.chosen_by != Some("aws.profile") {
            return Ok(Self::of(Base::Environment));
        }
        Ok(Self::of(match in_container() {
            true => Base::Container,
            false => Base::Instance,
        }))
    }

    /// The ARN of a role that it takes, which tells the partition of all.
    pub fn role(&self) -> Option<&str> {
        match &self.base {
            Base::WebIdentity(of) => Some(&of.role_arn),
            _ => self.roles.first().map(|role| role.arn.as_str()),
        }
    }
}

fn in_container() -> bool {
    [
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ]
    .into_iter()
    .any(|name| variable(name).is_some())
}

/// What a profile says of credentials, if anything. `is_first` is the one in use, not the source of another.
fn of_profile(
    files: &Files,
    name: &str,
    visited: &mut Vec<String>,
    is_first: bool,
) -> Result<Option<Chain>> {
    let none = Keys::new();
    let keys = files.named(name).unwrap_or(&none);
    visited.push(name.to_owned());
    let is_role = keys.contains_key("role_arn") && !keys.contains_key("web_identity_token_file");
    // As a source of others, a profile's keys come before its role.
    if is_role && (is_first || !has_keys(keys)) {
        return of_role(files, name, keys, visited).map(Some);
    }
    of_own(files, name, keys, is_first)
}

fn has_keys(keys: &Keys) -> bool {
    ["aws_access_key_id", "aws_secret_access_key"]
        .into_iter()
        .any(|key| keys.contains_key(key))
}

/// A profile with a role, and what it is assumed with.
fn of_role(files: &Files, name: &str, keys: &Keys, visited: &mut Vec<String>) -> Result<Chain> {
    let get = |key: &str| keys.get(key).cloned();
    if keys.contains_key("mfa_serial") {
        bail!(
            "the profile {name:?} asks for an MFA code (mfa_serial), which can't be typed in here: take keys from `aws configure \
             export-credentials --profile {name} --format env`, or use a profile whose credential_process is that command \
             with --format process"
        );
    }
    let mut chain = match (get("source_profile"), get("credential_source")) {
        (Some(_), Some(_)) => bail!(
            "the profile {name:?} has both source_profile and credential_source: remove one of them"
        ),
        (None, None) => bail!(
            "the profile {name:?} has role_arn, but neither source_profile nor credential_source: add one of them"
        ),
        (None, Some(source)) => Chain::of(of_source(name, &source)?),
        (Some(source), None) => {
            let there = files.named(&source).with_context(|| {
                format!("the profile {name:?} names source_profile {source:?}, which is not there")
            })?;
            if visited.contains(&source) && !(source == name && has_keys(there)) {
                bail!(
                    "the profile {name:?} names source_profile {source:?}, which leads back to it"
                );
            }
            of_profile(files, &source, visited, false)?.with_context(|| {
                format!(
                    "the profile {source:?}, the source_profile of {name:?}, has no credentials"
                )
            })?
        }
    };
    chain.roles.push(Role {
        arn: get("role_arn").unwrap_or_default(),
        external_id: get("external_id"),
        session_name: get("role_session_name"),
        seconds: get("duration_seconds").and_then(|seconds| seconds.trim().parse().ok()),
    });
    Ok(chain)
}

/// What `credential_source` names.
fn of_source(name: &str, source: &str) -> Result<Base> {
    Ok(match source {
        "Environment" => {
            ensure!(
                variable("AWS_ACCESS_KEY_ID").is_some(),
                "the profile {name:?} takes credentials from the environment (credential_source), where \
                 AWS_ACCESS_KEY_ID is not set"
            );
            Base::Environment
        }
        "EcsContainer" => Base::Container,
        "Ec2InstanceMetadata" => Base::Instance,
        _ => bail!(
            "the profile {name:?} names credential_source {source:?}, which is none of Environment, EcsContainer and \
             Ec2InstanceMetadata"
        ),
    })
}

/// What a profile says without a role, in the order in which the CLI looks for it.
fn of_own(files: &Files, name: &str, keys: &Keys, is_first: bool) -> Result<Option<Chain>> {
    // A profile that the settings name is not mixed with the environment.
    let with_environment = is_first && files.chosen_by != Some("aws.profile");
    let found = match web_identity(name, keys, with_environment)? {
        Some(found) => Some(found),
        None => single_sign_on(files, name, keys)?.map(Base::SingleSignOn),
    };
    if let Some(found) = found {
        return Ok(Some(Chain::of(found)));
    }
    if let Some(found) = static_keys(name, files.credentials.get(name))? {
        return Ok(Some(Chain::of(found)));
    }
    if let Some(session) = keys.get("login_session") {
        return Ok(Some(Chain::of(Base::Login {
            session: session.clone(),
            profile: name.to_owned(),
        })));
    }
    if let Some(command) = keys.get("credential_process") {
        let words = ini::command(command).filter(|words| !words.is_empty());
        let words = words.with_context(|| {
            format!("the credential_process of the profile {name:?} is empty, or has a quote that stays open")
        })?;
        return Ok(Some(Chain::of(Base::Process(words))));
    }
    Ok(static_keys(name, files.config.get(name))?.map(Chain::of))
}

fn web_identity(name: &str, keys: &Keys, with_environment: bool) -> Result<Option<Base>> {
    let get = |variable_name: &str, key: &str| {
        let of_environment = variable(variable_name).filter(|_| with_environment);
        of_environment.or_else(|| keys.get(key).cloned())
    };
    let Some(token_file) = get("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file") else {
        return Ok(None);
    };
    let role_arn = get("AWS_ROLE_ARN", "role_arn").with_context(|| {
        format!(
            "there is a web identity's token ({token_file}), but no role for it: set AWS_ROLE_ARN, or role_arn in the \
             profile {name:?}"
        )
    })?;
    Ok(Some(Base::WebIdentity(WebIdentity {
        token_file,
        role_arn,
        session_name: get("AWS_ROLE_SESSION_NAME", "role_session_name"),
    })))
}

fn single_sign_on(files: &Files, name: &str, keys: &Keys) -> Result<Option<SingleSignOn>> {
    if !["sso_role_name", "sso_account_id"]
        .into_iter()
        .any(|key| keys.contains_key(key))
    {
        return Ok(None);
    }
    let mut keys = keys.clone();
    let session = keys.get("sso_session").cloned();
    if let Some(session) = &session {
        let of_session = files.sso_session(session).with_context(|| {
            format!("the profile {name:?} names [sso-session {session}], which is not there")
        })?;
        for (key, value) in of_session {
            let own = keys.insert(key.clone(), value.clone());
            if let Some(own) = own.filter(|own| own != value) {
                bail!(
                    "{key} is {own:?} in the profile {name:?} and {value:?} in its [sso-session {session}]: remove one of them"
                );
            }
        }
    }
    let mut take = |key: &str| {
        keys.remove(key)
            .with_context(|| format!("the profile {name:?} lacks {key}: run `aws configure sso`"))
    };
    Ok(Some(SingleSignOn {
        profile: name.to_owned(),
        session,
        start_url: take("sso_start_url")?,
        region: take("sso_region")?,
        account: take("sso_account_id")?,
        role: take("sso_role_name")?,
    }))
}

fn static_keys(name: &str, keys: Option<&Keys>) -> Result<Option<Base>> {
    let Some((keys, access_key)) =
        keys.and_then(|keys| Some((keys, keys.get("aws_access_key_id")?)))
    else {
        return Ok(None);
    };
    let secret_key = keys.get("aws_secret_access_key").with_context(|| {
        format!("the profile {name:?} has aws_access_key_id, but no aws_secret_access_key")
    })?;
    let token = ["aws_security_token", "aws_session_token"]
        .into_iter()
        .find_map(|key| keys.get(key));
    Ok(Some(Base::Keys {
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
        token: token.filter(|token| !token.is_empty()).cloned(),
    }))
}
