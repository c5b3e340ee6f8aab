//! Reads the headers of tar archives, one after another. The `tar` crate would hold as many bytes of a name as a header
//! claims, without a limit.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, Header, PaxExtensions};

use crate::formats::archive::{TAR_BLOCK, has_tar_checksum};

/// How many bytes of a name, or of pax records, are looked at.
const DESCRIPTION: u64 = 1 << 20;

/// A file of an archive, or something else than a file.
#[derive(Debug)]
pub(super) struct TarEntry {
    pub name: String,
    pub kind: EntryType,
    pub size: u64,
}

/// The files of an archive.
#[derive(Default)]
pub(super) struct TarEntries {
    /// Where the archive is read next: behind a header, at its file's data.
    pub position: u64,
}

/// What extension headers say about the next file.
#[derive(Default)]
struct Description {
    /// By GNU.
    name: Option<Vec<u8>>,
    pax: Vec<u8>,
}

impl TarEntries {
    /// The next file, whose data is what can be read of `input` then. None at the end.
    pub fn next(&mut self, input: &mut impl Read) -> io::Result<Option<TarEntry>> {
        let mut described = Description::default();
        let mut empty = 0;
        loop {
            let mut block = [0; TAR_BLOCK];
            if !self.block(input, &mut block)? {
                return Ok(None);
            }
            // Two empty blocks are the end, but another archive may have been put behind it.
            if block.iter().all(|byte| *byte == 0) {
                empty += 1;
                continue;
            }
            if !has_tar_checksum(&block) {
                match empty {
                    0 | 1 => return Err(io::Error::other("a header's checksum is wrong")),
                    _ => return Ok(None),
                }
            }
            empty = 0;
            let header = Header::from_byte_slice(&block);
            let kind = header.entry_type();
            if kind.is_gnu_longname() {
                described.name = Some(self.description(input, header.entry_size()?)?);
            } else if kind.is_pax_local_extensions() {
                described.pax = self.description(input, header.entry_size()?)?;
            } else if kind.is_gnu_longlink() {
                self.description(input, header.entry_size()?)?;
            } else {
                self.skip_sparse(header, input)?;
                return described.entry(header).map(Some);
            }
        }
    }

    /// Where the next header is, behind a file of this size.
    pub fn next_header(&mut self, size: u64) -> u64 {
        let padding = size.wrapping_neg() % TAR_BLOCK as u64;
        self.position = self.position.saturating_add(size).saturating_add(padding);
        self.position
    }

    /// Read a block. False where there is none.
    fn block(&mut self, input: &mut impl Read, block: &mut [u8; TAR_BLOCK]) -> io::Result<bool> {
        let mut read = 0;
        while read < block.len() {
            match input.read(&mut block[read..]) {
                Ok(0) if read == 0 => return Ok(false),
                Ok(0) => return Err(io::Error::other("it ends within a header")),
                Ok(length) => read += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += block.len() as u64;
        Ok(true)
    }

    /// Read what describes the next file, as far as that is looked at.
    fn description(&mut self, input: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Read::take(&mut *input, size.min(DESCRIPTION)).read_to_end(&mut text)?;
        let start = self.position;
        let rest = self.next_header(size) - start - text.len() as u64;
        io::copy(&mut Read::take(input, rest), &mut io::sink())?;
        Ok(text)
    }

    /// Read past the list of a sparse file's holes.
    fn skip_sparse(&mut self, header: &Header, input: &mut impl Read) -> io::Result<()> {
        let is_sparse = header.entry_type().is_gnu_sparse();
        let mut goes_on = is_sparse && header.as_gnu().is_some_and(|gnu| gnu.is_extended());
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            let mut block = [0; TAR_BLOCK];
            goes_on = self.block(input, &mut block)?;
            more.as_mut_bytes().copy_from_slice(&block);
            goes_on &= more.is_extended();
        }
        Ok(())
    }
}

impl Description {
    /// The file that was described.
    fn entry(self, header: &Header) -> io::Result<TarEntry> {
        let (mut name, mut size) = (self.name, None);
        for extension in PaxExtensions::new(&self.pax) {
            // Other pax records are not needed here.
            let Ok(extension) = extension else { break };
            match extension.key_bytes() {
                b"path" => name = Some(extension.value_bytes().to_vec()),
                b"size" => size = extension.value().ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
        let name = match name {
            Some(mut name) => {
                while name.last() == Some(&0) {
                    name.pop();
                }
                name
            }
            None => header.path_bytes().into_owned(),
        };
        Ok(TarEntry {
            name: String::from_utf8_lossy(&name).into_owned(),
            kind: header.entry_type(),
            size: match size {
                Some(size) => size,
                None => header.entry_size()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn block(text: &str) -> Vec<u8> {
        let mut block = text.as_bytes().to_vec();
        block.resize(text.len().next_multiple_of(TAR_BLOCK), 0);
        block
    }

    #[test]
    fn names_and_sizes_come_from_what_describes_a_file() {
        let long = "x".repeat(700);
        let pax = "16 path=a/b.json\n10 size=3\n".replace("16 path", "17 path");
        for (before, name, size) in [
            (vec![], "short", 5),
            (
                [
                    header("L", EntryType::GNULongName, 701),
                    block(&format!("{long}\0")),
                ]
                .concat(),
                &*long,
                5,
            ),
            (
                [
                    header("x", EntryType::XHeader, pax.len() as u64),
                    block(&pax),
                ]
                .concat(),
                "a/b.json",
                3,
            ),
            (
                [header("K", EntryType::GNULongLink, 3), block("abc")].concat(),
                "short",
                5,
            ),
        ] {
            let bytes = [
                before,
                header("short", EntryType::Regular, 5),
                block("12345"),
            ]
            .concat();
            let mut input = &*bytes;
            let mut entries = TarEntries::default();
            let entry = entries.next(&mut input).unwrap().unwrap();
            assert_eq!((&*entry.name, entry.size), (name, size));
            assert!(input.starts_with(b"12345"));
            assert_eq!(entries.position as usize, bytes.len() - input.len());
        }
    }

    /// A name is held as far as it is looked at, whatever its header says.
    #[test]
    fn a_name_of_any_size_takes_little_memory() {
        let size = 64 << 20;
        let last = header("a", EntryType::Regular, 0);
        let name = header("L", EntryType::GNULongName, size);
        let mut input = Read::chain(&*name, io::repeat(b'a').take(size)).chain(&*last);
        let entry = TarEntries::default().next(&mut input).unwrap().unwrap();
        assert_eq!(entry.name.len() as u64, DESCRIPTION);
        let endless = header("L", EntryType::GNULongName, u64::MAX >> 2);
        let mut input = Read::chain(&*endless, io::repeat(b'a').take(size));
        assert!(TarEntries::default().next(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_block_that_is_not_a_header_is_an_error() {
        let mut wrong = header("a", EntryType::Regular, 0);
        wrong[0] = b'b';
        assert!(TarEntries::default().next(&mut &*wrong).is_err());
        let whole = header("a", EntryType::Regular, 0);
        assert!(TarEntries::default().next(&mut &whole[..500]).is_err());
        assert!(
            TarEntries::default()
                .next(&mut &whole[..0])
                .unwrap()
                .is_none()
        );
        assert!(
            TarEntries::default()
                .next(&mut &[0; TAR_BLOCK][..])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_is_behind_empty_blocks_is_read() {
        let empty = vec![0; TAR_BLOCK];
        let file = |name: &str| header(name, EntryType::Regular, 0);
        let end = [empty.clone(), empty.clone()].concat();
        // A block that was overwritten, and two archives in one file.
        for between in [empty, end.clone()] {
            let bytes = [file("a"), between, file("b"), end.clone()].concat();
            let (mut input, mut entries) = (&*bytes, TarEntries::default());
            let names: Vec<String> =
                std::iter::from_fn(|| entries.next(&mut input).unwrap().map(|entry| entry.name))
                    .collect();
            assert_eq!(names, ["a", "b"]);
        }
        // What else may stand behind an archive's end is no damage.
        let bytes = [file("a"), end, block("a signature")].concat();
        let (mut input, mut entries) = (&*bytes, TarEntries::default());
        assert!(entries.next(&mut input).unwrap().is_some());
        assert!(entries.next(&mut input).unwrap().is_none());
    }
}
