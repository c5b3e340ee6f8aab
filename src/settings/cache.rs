//! The cache of a bucket's log files: where it is, and how large.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::given;
use crate::process::platform::user_path;

/// Where the cache is, and how many bytes it may take.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cache {
    pub folder: PathBuf,
    pub size: u64,
}

/// The size of a cache in bytes where none is given.
const SIZE: u64 = 10_000_000_000;

impl Cache {
    /// What `cachePath` and `cacheSize` say.
    pub fn parse(path: &str, size: &str) -> Result<Option<Self>> {
        let size = given(size);
        let Some(path) = given(path) else {
            ensure!(
                size.is_none(),
                "cacheSize: is used with cachePath only, which is empty: give the folder of the cache as well"
            );
            return Ok(None);
        };
        let size = match size {
            Some(text) => bytes(&text).with_context(|| {
                format!(
                    "cacheSize: {text:?} is not a valid size: give a number of bytes, or one with a unit (KB, MB, GB, TB, or \
                     KiB, MiB, GiB, TiB), such as 10GB"
                )
            })?,
            None => SIZE,
        };
        Ok(Some(Self {
            folder: user_path(&path),
            size,
        }))
    }
}

/// A size such as `500MB` or `1.5 GiB`, in bytes, of which there is one at least. None where it is no such size.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "tb" | "t" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    // No size is so large that a part of a byte counts.
    (1.0..u64::MAX as f64)
        .contains(&bytes)
        .then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, expected) in [
            ("1", 1),
            ("4096", 4096),
            ("4096B", 4096),
            ("10GB", 10_000_000_000),
            ("10 gb", 10_000_000_000),
            ("500Mb", 500_000_000),
            ("2T", 2_000_000_000_000),
            ("1GiB", 1 << 30),
            ("1.5 kib", 1536),
            ("0.5GB", 500_000_000),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "0",
            "0GB",
            "0.0001kb",
            "GB",
            "-1GB",
            "ten",
            "10 G B",
            "10PB",
            "1..5GB",
            "1,5GB",
            "10GB x",
            "99999999999TB",
            "18446744073709551616",
        ] {
            assert!(bytes(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_size_needs_a_path_and_has_a_default() {
        let parse = |path, size| Cache::parse(path, size).map_err(|error| format!("{error:#}"));
        assert_eq!(parse("", " "), Ok(None));
        assert_eq!(
            parse(" /cache ", ""),
            Ok(Some(Cache {
                folder: "/cache".into(),
                size: SIZE
            }))
        );
        assert_eq!(
            parse("~/cache", "1KB").unwrap().unwrap().folder,
            user_path("~/cache")
        );
        assert!(
            parse("", "1GB")
                .unwrap_err()
                .starts_with("cacheSize: is used with cachePath only")
        );
        assert!(
            parse("/cache", "much")
                .unwrap_err()
                .starts_with("cacheSize: \"much\" is not a valid size: give")
        );
    }
}
