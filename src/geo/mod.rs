//! Where an address is from: databases of countries, cities and networks in MaxMind's format, and AWS's own addresses. They are
//! read into memory, and read anew when their files change. Nothing is asked of anybody.

mod address;
mod atlas;
mod database;
mod places;
mod ranges;

pub(crate) use atlas::{Atlas, Watch};
pub(crate) use places::{Part, Place, Places};

/// The files that tell where addresses are from, as users have written their paths.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Files {
    /// In MaxMind's format. The first one that knows something of an address counts.
    pub databases: Vec<String>,
    /// AWS's published addresses.
    pub aws_ranges: Option<String>,
}

impl Files {
    /// What is not given is what the environment names: Stratoshark gives no settings to the plugin that reads a capture
    /// file for it.
    fn or_environment(&self) -> Self {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|text| !text.trim().is_empty())
        };
        let databases = match self.databases.is_empty() {
            true => variable("CLOUDTRAIL_GEO_DATABASES").map_or_else(Vec::new, |text| paths(&text)),
            false => self.databases.clone(),
        };
        let ranges = self.aws_ranges.clone();
        Self {
            databases,
            aws_ranges: ranges.or_else(|| variable("CLOUDTRAIL_AWS_IP_RANGES")),
        }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.databases.is_empty() && self.aws_ranges.is_none()
    }
}

/// Paths with commas between.
pub(crate) fn paths(text: &str) -> Vec<String> {
    let paths = text.split(',').map(str::trim);
    paths
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_too_many_names_no_file() {
        assert_eq!(paths(" a.mmdb ,, b.mmdb,"), ["a.mmdb", "b.mmdb"]);
    }
}
