//! ListObjectsV2 over a folder. s3s-fs walks the whole bucket for each; this looks only where the prefix points.

use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object,
    ObjectStorageClass, Timestamp,
};

enum Entry {
    Object { size: u64, modified: SystemTime },
    Folder,
}

/// A page of the bucket in the folder `root`. With `raw` keys come as they are, and are said to be encoded all the same.
pub(crate) fn page(
    root: &Path,
    input: &ListObjectsV2Input,
    most: usize,
    raw: bool,
) -> io::Result<ListObjectsV2Output> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimited = input.delimiter.as_deref() == Some("/");
    let encoded = input
        .encoding_type
        .as_ref()
        .is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    let mut entries = BTreeMap::new();
    let parent = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
    walk(root, parent, &prefix, delimited, &mut entries)?;
    let after = input
        .continuation_token
        .as_deref()
        .or(input.start_after.as_deref())
        .unwrap_or_default();
    let mut found = entries
        .into_iter()
        .filter(|(key, _)| key.as_str() > after)
        .peekable();
    let (mut contents, mut common_prefixes, mut last) = (vec![], vec![], None);
    for (key, entry) in found.by_ref().take(most) {
        last = Some(key.clone());
        let shown = if encoded && !raw {
            percent_encoding::utf8_percent_encode(&key, ENCODED).to_string()
        } else {
            key
        };
        match entry {
            Entry::Folder => common_prefixes.push(CommonPrefix {
                prefix: Some(shown),
            }),
            Entry::Object { size, modified } => contents.push(Object {
                key: Some(shown),
                size: Some(size as i64),
                last_modified: Some(Timestamp::from(modified)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                ..Object::default()
            }),
        }
    }
    let more = found.peek().is_some();
    Ok(ListObjectsV2Output {
        key_count: Some((contents.len() + common_prefixes.len()) as i32),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: input.delimiter.clone(),
        encoding_type: input.encoding_type.clone(),
        is_truncated: Some(more),
        max_keys: Some(most as i32),
        name: Some(input.bucket.clone()),
        next_continuation_token: last.filter(|_| more),
        prefix: Some(prefix),
        ..ListObjectsV2Output::default()
    })
}

/// As S3 encodes keys where it is asked to.
const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'*');

fn walk(
    root: &Path,
    folder: &str,
    prefix: &str,
    delimited: bool,
    entries: &mut BTreeMap<String, Entry>,
) -> io::Result<()> {
    let found = match fs::read_dir(root.join(folder)) {
        Ok(found) => found,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in found {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What s3s-fs keeps beside the objects.
        if folder.is_empty() && name.starts_with('.') {
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let key = format!("{folder}{name}/");
            if key.starts_with(prefix) && delimited {
                entries.insert(key, Entry::Folder);
            } else if key.starts_with(prefix) || prefix.starts_with(&key) {
                walk(root, &key, prefix, delimited, entries)?;
            }
        } else {
            let key = format!("{folder}{name}");
            if key.starts_with(prefix) {
                let modified = metadata.modified()?;
                entries.insert(
                    key,
                    Entry::Object {
                        size: metadata.len(),
                        modified,
                    },
                );
            }
        }
    }
    Ok(())
}
