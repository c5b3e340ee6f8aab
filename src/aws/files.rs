//! The AWS CLI's files: which there are, and the profile in use.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::ini::{self, Sections};
use crate::process::platform::user_path;
use crate::settings;

/// Keys and values of a section.
pub(super) type Keys = BTreeMap<String, String>;

/// What the files hold, and which profile counts.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// By name: those of the configuration, with the keys of the credentials file over them.
    profiles: Sections,
    sso_sessions: Sections,
    services: Sections,
    /// The sections of the credentials file alone.
    pub credentials: Sections,
    /// The profiles of the configuration file alone.
    pub config: Sections,
    /// The profile in use.
    pub profile: String,
    /// What chose it: a setting or a variable; nothing where it is the default one.
    pub chosen_by: Option<&'static str>,
    /// Where they were looked for, in words.
    places: String,
    /// Which of them are there and can't be read, in words.
    pub closed: Option<String>,
}

/// A variable of the environment that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

impl Files {
    /// Read the files that the settings name, the usual ones in the place of those that they don't.
    pub fn read(settings: &settings::Aws) -> Result<Self> {
        let (config, config_path, config_closed) = sections(
            ("aws.config", &settings.config),
            "AWS_CONFIG_FILE",
            "~/.aws/config",
        )?;
        let (credentials, credentials_path, credentials_closed) = sections(
            ("aws.credentials", &settings.credentials),
            "AWS_SHARED_CREDENTIALS_FILE",
            "~/.aws/credentials",
        )?;
        let (profile, chosen_by) = match &settings.profile {
            Some(name) => (name.clone(), Some("aws.profile")),
            // In the order of the AWS CLI.
            None => ["AWS_DEFAULT_PROFILE", "AWS_PROFILE"]
                .into_iter()
                .find_map(|name| Some((variable(name)?, Some(name))))
                .unwrap_or_else(|| ("default".to_owned(), None)),
        };
        let places = format!(
            "{} and {}",
            config_path.display(),
            credentials_path.display()
        );
        let mut files = Self::new(config, credentials, profile, chosen_by, places);
        let closed: Vec<String> = [config_closed, credentials_closed]
            .into_iter()
            .flatten()
            .collect();
        files.closed = (!closed.is_empty()).then(|| closed.join(", "));
        files.check_profile()?;
        Ok(files)
    }

    fn new(
        config: Sections,
        credentials: Sections,
        profile: String,
        chosen_by: Option<&'static str>,
        places: String,
    ) -> Self {
        let mut files = Self {
            profile,
            chosen_by,
            places,
            ..Self::default()
        };
        for (section, keys) in config {
            let (of, name) = if section == "default" {
                (&mut files.config, Some(section))
            } else if section.starts_with("profile") {
                (&mut files.config, second_word(&section))
            } else if section.starts_with("sso-session") {
                (&mut files.sso_sessions, second_word(&section))
            } else if section.starts_with("services") {
                (&mut files.services, second_word(&section))
            } else {
                continue;
            };
            if let Some(name) = name {
                of.entry(name).or_default().extend(keys);
            }
        }
        files.profiles = files.config.clone();
        for (name, keys) in &credentials {
            let profile = files.profiles.entry(name.clone()).or_default();
            profile.extend(keys.clone());
        }
        files.credentials = credentials;
        files
    }

    /// A profile that somebody has chosen has to be there.
    fn check_profile(&self) -> Result<()> {
        let Some(chosen_by) = self.chosen_by else {
            return Ok(());
        };
        if self.profiles.contains_key(&self.profile) {
            return Ok(());
        }
        let there: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
        let there = match there.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are {}", there.join(", ")),
        };
        let closed = match &self.closed {
            Some(closed) => format!("; {closed}"),
            None => String::new(),
        };
        bail!(
            "{chosen_by}: there is no profile {:?}: {there}, in {}{closed}",
            self.profile,
            self.places
        )
    }

    /// A profile's keys.
    pub fn named(&self, name: &str) -> Option<&Keys> {
        self.profiles.get(name)
    }

    /// A key of the profile in use.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.named(&self.profile)?.get(key).map(String::as_str)
    }

    /// A key of the profile's own keys for S3, `s3 =` and indented lines.
    pub fn of_s3(&self, key: &str) -> Option<&str> {
        ini::nested(self.get("s3")?).remove(key)
    }

    /// A key of the profile's keys for a service, by its section of services.
    pub fn of_service(&self, service: &str, key: &str) -> Result<Option<&str>> {
        let Some(name) = self.get("services") else {
            return Ok(None);
        };
        let services = self.services.get(name).with_context(|| {
            format!(
                "the profile {:?} names [services {name}], which is not there: add it to the configuration file",
                self.profile
            )
        })?;
        let keys = services.get(service);
        Ok(keys.and_then(|keys| ini::nested(keys).remove(key)))
    }

    /// A session of single sign-on.
    pub fn sso_session(&self, name: &str) -> Option<&Keys> {
        self.sso_sessions.get(name)
    }

    /// Is this switched on, by a variable or else in the profile?
    pub fn is_on(&self, name: &str, key: &str) -> bool {
        let value = variable(name);
        let value = value.as_deref().or_else(|| self.get(key));
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// The name of a section such as `profile "my audit"`; none where it has no name, or more than one.
fn second_word(section: &str) -> Option<String> {
    let mut words = ini::words(section)?;
    (words.len() == 2).then(|| words.remove(1))
}

/// The sections of a file, where it is, and why it can't be read, if it is there: what a setting names has to be, the others
/// may be missing.
fn sections(
    (key, path): (&str, &Option<String>),
    name: &str,
    usual: &str,
) -> Result<(Sections, PathBuf, Option<String>)> {
    let (from, path, is_demanded) = match path {
        Some(path) => (key, user_path(path), true),
        None => match variable(name) {
            Some(path) => (name, user_path(&expand(&path)), false),
            None => ("the usual place", user_path(usual), false),
        },
    };
    let mut closed = None;
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if is_demanded => {
            return Err(error).with_context(|| format!("{from}: {} can't be read", path.display()));
        }
        // As of the CLI: what is not there, no file, or not for this user, is empty.
        Err(error) => {
            closed = (error.kind() != ErrorKind::NotFound)
                .then(|| format!("{} can't be read: {error}", path.display()));
            Vec::new()
        }
    };
    Ok((parse(&bytes, &path)?, path, closed))
}

/// More than any file of the AWS CLI has, in bytes.
const LARGEST: u64 = 16 << 20;

/// The bytes of one of the AWS CLI's files. Nothing is read of what is no file: into a pipe nobody might ever write.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let error = |why| Err(std::io::Error::other(why));
    let there = path.metadata()?;
    if !there.is_file() {
        return error("it is not a file");
    }
    if there.len() > LARGEST {
        return error("it is too large");
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Sections> {
    let path = path.display();
    let text = std::str::from_utf8(bytes);
    ensure!(
        text.is_ok(),
        "{path} is not text in UTF-8: save it in that encoding"
    );
    ini::parse(text.unwrap_or_default())
        .map_err(|line| anyhow::anyhow!("line {} of {path} {}", line.number, line.why))
}

/// A path with `$NAME` and `${NAME}` replaced by variables of the environment, where there are such.
pub(super) fn expand(path: &str) -> String {
    let mut expanded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, after) = match rest[1..]
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
        {
            Some(found) => found,
            None => {
                let is_name = |char: char| char == '_' || char.is_ascii_alphanumeric();
                let end = rest[1..].find(|char| !is_name(char));
                rest[1..].split_at(end.unwrap_or(rest.len() - 1))
            }
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => expanded.push_str(&value),
            _ => expanded.push_str(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str, credentials: &str, profile: &str) -> Files {
        let [config, credentials] = [config, credentials].map(|text| ini::parse(text).unwrap());
        Files::new(
            config,
            credentials,
            profile.to_owned(),
            Some("aws.profile"),
            "here".to_owned(),
        )
    }

    #[test]
    fn sections_are_taken_for_profiles_as_in_the_cli() {
        let files = files(
            "[profile \"my audit\"]\nregion = a\n[profile équipe]\nregion = b\n[default]\nregion = c\n\
             [profile too many]\n[profile 'open]\n[sso-session s]\n[plugins]\n",
            "[my audit]\nregion = d\n[other]\n",
            "my audit",
        );
        let names: Vec<&str> = files.profiles.keys().map(String::as_str).collect();
        assert_eq!(names, ["default", "my audit", "other", "équipe"]);
        assert_eq!(files.get("region"), Some("d"));
    }

    #[test]
    fn a_missing_profile_is_an_error_that_lists_the_others() {
        let error = files("[default]\n[profile a]\n", "[b]\n", "c").check_profile();
        assert_eq!(
            error.unwrap_err().to_string(),
            "aws.profile: there is no profile \"c\": there are a, b, default, in here"
        );
    }

    #[test]
    fn a_profile_names_the_section_with_the_keys_of_its_services() {
        let config = "[profile a]\nservices = mine\ns3 =\n  addressing_style = virtual\n\
            [services mine]\ns3 =\n  endpoint_url = http://x\n[profile b]\nservices = none\n";
        let files = |profile| files(config, "", profile);
        assert_eq!(
            files("a").of_service("s3", "endpoint_url").unwrap(),
            Some("http://x")
        );
        assert_eq!(files("a").of_service("sqs", "endpoint_url").unwrap(), None);
        assert_eq!(files("a").of_s3("addressing_style"), Some("virtual"));
        assert!(files("b").of_service("s3", "endpoint_url").is_err());
    }

    #[test]
    fn an_error_gives_the_number_of_the_bad_line() {
        let error = parse(b"[a]\noops\n", Path::new("/c"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "line 2 of /c is neither a section, [name], nor key = value"
        );
        let error = parse(b"\xff\xfe[\0", Path::new("/c"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/c is not text in UTF-8"), "{error}");
    }

    #[test]
    fn environment_variables_in_paths_are_replaced() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(expand("$PATH/x"), format!("{path}/x"));
        assert_eq!(expand("a${PATH}b"), format!("a{path}b"));
        for same in ["$NOT_SET_HERE/x", "${NOT_SET_HERE}", "a$", "$/x", "plain"] {
            assert_eq!(expand(same), same);
        }
    }
}
