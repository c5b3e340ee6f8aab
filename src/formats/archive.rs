//! What kind of archive a file is.

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Zip,
    Tar,
}

/// The kind of the archive that begins so, if it is one.
pub(crate) fn kind(head: &[u8]) -> Option<Kind> {
    let is_zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
    let is_tar = || head.get(257..262) == Some(b"ustar");
    match is_zip {
        true => Some(Kind::Zip),
        false => is_tar().then_some(Kind::Tar),
    }
}

impl Kind {
    /// As errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "a zip archive",
            Self::Tar => "a tar archive",
        }
    }
}
