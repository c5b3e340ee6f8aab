//! The keys of the configuration as users write them. Their case does not matter, as in the official plugin; what was
//! meant for a setting and is none is refused, since nobody would see that it has no effect. Settings that the dialog does
//! not show are known as well.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::dialog::{Aws, Config};

/// A key that differs from a known one by so many letters was meant for it.
const NEAR: usize = 2;

/// The configuration with its keys as the dialog has them, and the paths of keys that are not known.
pub(super) fn read(config: &str) -> Result<(Value, Vec<String>)> {
    let settings = Settings::all();
    let mut unknown = Vec::new();
    let mut config = settings.object(config, "", &mut unknown)?;
    // What is no text is refused like any other value of a wrong type.
    if let Some(Value::String(text)) = config.get(OTHER).cloned()
        && !text.trim().is_empty()
    {
        let mut others = || -> Result<_> {
            ensure!(
                text.trim().starts_with('{'),
                "is not a JSON object, such as {{\"historyOrder\":\"newest\"}}"
            );
            let others = settings.object(&text, "", &mut unknown)?;
            ensure!(!others.contains_key(OTHER), "can't hold itself");
            Ok(others)
        };
        merge(&mut config, others().context(OTHER)?);
    }
    Ok((config.into(), unknown))
}

/// The setting that has all those that the dialog has no row for.
const OTHER: &str = "otherSettings";

/// Add what is not there.
fn merge(config: &mut Map<String, Value>, others: Map<String, Value>) {
    for (key, other) in others {
        match (config.get_mut(&key), other) {
            (Some(Value::Object(config)), Value::Object(other)) => merge(config, other),
            (Some(_), _) => {}
            (None, other) => _ = config.insert(key, other),
        }
    }
}

/// The paths of all settings: `s3Interval`, `aws`, `aws.profile`.
struct Settings(Vec<String>);

impl Settings {
    fn all() -> Self {
        let aws = names::<Aws>()
            .into_iter()
            .map(|name| AWS.to_owned() + &name);
        Self(names::<Config>().into_iter().chain(aws).collect())
    }

    /// The members of an object at this place; those that are not known are left out.
    fn object(
        &self,
        text: &str,
        place: &str,
        unknown: &mut Vec<String>,
    ) -> Result<Map<String, Value>> {
        let Members(members) = serde_json::from_str(text)?;
        let mut object = Map::new();
        let mut given: Vec<String> = Vec::new();
        for (key, value) in members {
            let Some(known) = self.named(place, &key) else {
                let path = format!("{place}{key}");
                if let Some(meant) = self.meant(&path) {
                    refuse(place, &path, meant)?;
                }
                unknown.push(path);
                continue;
            };
            let name = &known[place.len()..];
            if let Some(other) = given.iter().find(|other| other.eq_ignore_ascii_case(name)) {
                bail!("{known}: is given twice, as {other:?} and as {key:?}");
            }
            let value = match known == "aws" {
                true => {
                    ensure!(value.get().starts_with('{'), "aws: is not a JSON object");
                    self.object(value.get(), AWS, unknown)?.into()
                }
                false => serde_json::from_str(value.get())?,
            };
            object.insert(name.to_owned(), value);
            given.push(key);
        }
        Ok(object)
    }

    /// The setting that has this key at this place.
    fn named(&self, place: &str, key: &str) -> Option<&String> {
        self.0.iter().find(|known| {
            let name = known.strip_prefix(place);
            !key.contains('.') && name.is_some_and(|name| name.eq_ignore_ascii_case(key))
        })
    }

    /// The setting that a key that is not known was meant for: a misspelt one, or one of another place.
    fn meant(&self, path: &str) -> Option<&String> {
        let near = self.0.iter().filter_map(|known| {
            let misspelt = distance(path, known);
            let misplaced = distance(name(path), name(known));
            let nearest = misspelt.min(misplaced);
            (nearest <= NEAR).then_some(((nearest, misspelt), known))
        });
        near.min_by_key(|(distance, _)| *distance)
            .map(|(_, known)| known)
    }
}

/// What the paths of settings within `aws` begin with.
const AWS: &str = "aws.";

fn refuse(place: &str, path: &str, meant: &str) -> Result<()> {
    match meant.strip_prefix(AWS) {
        Some(name) if place.is_empty() => bail!(
            "{path:?} is not a setting: {meant} is, which is written {{\"aws\":{{\"{name}\":…}}}}"
        ),
        _ => bail!("{path:?} is not a setting: {meant} is"),
    }
}

/// The names of a type's members, as its schema has them.
fn names<T: JsonSchema>() -> Vec<String> {
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(Map::keys);
    names.cloned().collect()
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How many letters have to be put in, left out or changed to make one text of another, whatever their case. Of texts
/// whose lengths differ by far it is not counted.
fn distance(one: &str, other: &str) -> usize {
    let lengths = one.len().abs_diff(other.len());
    match lengths > NEAR * 4 {
        true => lengths,
        false => strsim::levenshtein(&one.to_lowercase(), &other.to_lowercase()),
    }
}

/// The members of a JSON object as they were written, those of one name too, of which a map would keep the last only.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_read_whatever_their_case() {
        let config = r#"{"S3INTERVAL":"5d","redact":"secrets","AWS":{"PROFILE":"p","rolearn":"r"},"useS3Sns":true}"#;
        let (config, unknown) = read(config).unwrap();
        assert_eq!(
            config,
            json!({
                "s3Interval": "5d",
                "redact": "secrets",
                "aws": {"profile": "p", "roleArn": "r"},
                "useS3SNS": true
            })
        );
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn settings_that_the_dialog_does_not_show_are_known() {
        let (config, unknown) = read(r#"{"DeDupe":true}"#).unwrap();
        assert_eq!((config, unknown.len()), (json!({"dedupe": true}), 0));
        let error = read(r#"{"dedup":true}"#).unwrap_err().to_string();
        assert_eq!(error, r#""dedup" is not a setting: dedupe is"#);
    }

    #[test]
    fn a_setting_that_is_given_twice_is_an_error() {
        for (config, expected) in [
            (
                r#"{"redact":"","Redact":"secrets"}"#,
                r#"redact: is given twice, as "redact" and as "Redact""#,
            ),
            (
                r#"{"s3Follow":true,"s3Follow":true}"#,
                r#"s3Follow: is given twice, as "s3Follow" and as "s3Follow""#,
            ),
            (
                r#"{"aws":{"region":"a","REGION":"b"}}"#,
                r#"aws.region: is given twice, as "region" and as "REGION""#,
            ),
            (
                r#"{"aws":{},"AWS":{"profile":"p"}}"#,
                r#"aws: is given twice, as "aws" and as "AWS""#,
            ),
        ] {
            let error = read(config).unwrap_err().to_string();
            assert_eq!(error, expected, "{config}");
        }
    }

    #[test]
    fn an_error_about_a_misspelt_key_names_the_right_one() {
        for (config, expected) in [
            (r#"{"s3Intervall":"5d"}"#, "s3Interval is"),
            (r#"{"s3-interval":"5d"}"#, "s3Interval is"),
            (r#"{"interval":"5d"}"#, "s3Interval is"),
            (r#"{"S3_Account_List":"5d"}"#, "s3AccountList is"),
            (r#"{"redcat":"secrets"}"#, "redact is"),
            (r#"{"validatekey":""}"#, "validateKeys is"),
            (r#"{"asw":{}}"#, "aws is"),
            (
                r#"{"profile":"p"}"#,
                r#"aws.profile is, which is written {"aws":{"profile":…}}"#,
            ),
            (r#"{"Regoin":"eu-west-1"}"#, "aws.region is, which"),
            (r#"{"aws.profile":"p"}"#, "aws.profile is, which"),
            (r#"{"awsRoleArn":"p"}"#, "aws.roleArn is, which"),
            (r#"{"aws-profile":"p"}"#, "aws.profile is, which"),
            (r#"{"aws":{"role_arn":"r"}}"#, "aws.roleArn is"),
            (r#"{"aws":{"regions":"r"}}"#, "aws.region is"),
            (r#"{"aws":{"s3Interval":"5d"}}"#, "s3Interval is"),
        ] {
            let error = read(config).unwrap_err().to_string();
            let (key, meant) = error.split_once(" is not a setting: ").unwrap();
            assert!(meant.starts_with(expected), "{config}: {error}");
            let key: String = serde_json::from_str(key).unwrap();
            assert!(config.contains(name(&key)), "{config}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_listed() {
        let long = "x".repeat(100_000);
        let config = format!(
            r#"{{"comment":{{"key":[1]}},"{long}":1,"aws":{{"ticket":7,"region":"r"}},"s3Follow":true}}"#
        );
        let (config, unknown) = read(&config).unwrap();
        assert_eq!(config, json!({"aws": {"region": "r"}, "s3Follow": true}));
        assert_eq!(unknown, ["comment", &long, "aws.ticket"]);
    }
}
