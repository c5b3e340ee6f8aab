//! What kind of archive a file is.

use super::shapes;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Zip,
    Tar,
}

/// The kind of archive that begins with these bytes, if it is one. A wrong answer would lose the whole file, and others
/// choose what is in records. So a file that begins like JSON is never an archive, and an archive must have a valid
/// header.
pub(crate) fn kind(head: &[u8]) -> Option<Kind> {
    if matches!(shapes::text_start(head).first(), Some(b'{' | b'[')) {
        return None;
    }
    if is_zip(head) {
        return Some(Kind::Zip);
    }
    let header = head.first_chunk::<TAR_BLOCK>()?;
    (&header[257..262] == b"ustar" && has_tar_checksum(header)).then_some(Kind::Tar)
}

/// The size of a tar archive's header, and what those of files are rounded up to.
pub(crate) const TAR_BLOCK: usize = 512;

/// Does this begin with a file's header, or the end of an archive without files? See
/// <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, 4.3.7 and 4.3.16.
fn is_zip(head: &[u8]) -> bool {
    match head {
        [b'P', b'K', 3, 4, version, _, rest @ ..] => {
            // The version needed to read it is 6.3 at most, and a file has a name.
            let name_length = rest.get(20..22);
            *version <= 63 && name_length.is_some_and(|length| length != [0, 0])
        }
        [b'P', b'K', 5, 6, ..] => head.len() >= 22,
        _ => false,
    }
}

/// Is a tar header's checksum right: the sum of its bytes, its own being blanks, which some programs take with their
/// sign?
pub(crate) fn has_tar_checksum(header: &[u8; TAR_BLOCK]) -> bool {
    let field = 148..156;
    let bytes = || {
        let at = |(at, &byte)| if field.contains(&at) { b' ' } else { byte };
        header.iter().enumerate().map(at)
    };
    let told = header[field.clone()]
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .fold(0, |sum, digit| sum * 8 + i64::from(digit - b'0'));
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    told == unsigned || told == signed
}

impl Kind {
    /// Its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "a zip archive",
            Self::Tar => "a tar archive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_header() -> [u8; TAR_BLOCK] {
        let mut header = tar::Header::new_ustar();
        header.set_path("a.json").unwrap();
        header.set_size(3);
        header.set_cksum();
        *header.as_bytes()
    }

    #[test]
    fn a_tar_header_has_its_mark_and_its_checksum() {
        let header = tar_header();
        assert_eq!(kind(&header), Some(Kind::Tar));
        assert_eq!(kind(&header[..511]), None);
        for at in [0, 100, 258, 300] {
            let mut wrong = header;
            wrong[at] ^= 1;
            assert_eq!(kind(&wrong), None, "{at}");
        }
        // With bytes that are negative where they have a sign, and summed so.
        let mut odd = header;
        odd[0] = 0xe9;
        let sum = |header: &[u8; TAR_BLOCK]| -> i64 {
            let field = header[148..156].iter().map(|byte| i64::from(*byte as i8));
            let all = header.iter().map(|byte| i64::from(*byte as i8));
            all.sum::<i64>() - field.sum::<i64>() + 8 * i64::from(b' ')
        };
        let told = format!("{:06o}\0 ", sum(&odd));
        odd[148..156].copy_from_slice(told.as_bytes());
        assert_eq!(kind(&odd), Some(Kind::Tar));
    }

    /// Records that name their files, such as no archive begins, are what they are.
    #[test]
    fn files_that_begin_like_json_are_not_archives() {
        for begin in ["{", "[", "\u{feff}\r\n {"] {
            let mut header = tar_header();
            header[..begin.len()].copy_from_slice(begin.as_bytes());
            let mut header = tar::Header::from_byte_slice(&header).clone();
            header.set_cksum();
            assert_eq!(kind(header.as_bytes()), None, "{begin:?}");
        }
    }

    #[test]
    fn a_zip_archive_begins_with_a_file_or_has_none() {
        let mut file = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
        file.resize(26, 0);
        file.extend_from_slice(&[6, 0, 0, 0]);
        file.extend_from_slice(b"a.json");
        assert_eq!(kind(&file), Some(Kind::Zip));
        assert_eq!(kind(&file[..20]), None);
        let mut nameless = file.clone();
        nameless[26] = 0;
        assert_eq!(kind(&nameless), None);
        let mut version = file.clone();
        version[4] = b' ';
        version[5] = b' ';
        assert_eq!(kind(&version), Some(Kind::Zip));
        version[4] = b'x';
        assert_eq!(kind(&version), None);
        let empty = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
        assert_eq!(kind(&empty), Some(Kind::Zip));
        assert_eq!(kind(&empty[..21]), None);
    }
}
