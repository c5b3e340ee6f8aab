use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::entry::END;
use super::*;

const MB: u64 = 1 << 20;

fn name(key: &str, size: u64) -> Name {
    Name::new(["aws", "bucket", key, "etag"], size)
}

async fn room() -> Room {
    Budget::new(64 * MB as usize).take(1).await.unwrap()
}

/// A cache in a folder that is removed at the end, and its counters.
async fn cache(size: u64) -> (tempfile::TempDir, Arc<Cache>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), size).await;
    (folder, cache)
}

async fn open(folder: &Path, size: u64) -> Arc<Cache> {
    let path = folder.join("cache");
    Cache::open(path, size, &Arc::default()).await.unwrap()
}

async fn refused(folder: &Path) -> String {
    let opened = Cache::open(folder.to_owned(), MB, &Arc::default()).await;
    format!("{:#}", opened.unwrap_err())
}

async fn put(cache: &Arc<Cache>, name: &Name, bytes: &[u8]) {
    let body = cache.keep(name.clone(), Body::Bytes(bytes.to_vec())).await;
    assert!(matches!(body, Body::Bytes(given) if given == bytes));
    cache.finish().await;
}

/// What a body holds; an error where it ends in one.
async fn bytes_of(body: Body) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    match body {
        Body::Bytes(bytes) => all = bytes,
        Body::Stream(mut pieces) => {
            while let Some(piece) = pieces.recv().await {
                all.extend(piece?);
            }
        }
        Body::File(path) => panic!("{}", path.display()),
    }
    Ok(all)
}

async fn get(cache: &Arc<Cache>, name: &Name) -> Option<Vec<u8>> {
    let body = cache.get(name, &room().await).await?;
    Some(bytes_of(body).await.unwrap())
}

fn file(cache: &Cache, name: &Name) -> PathBuf {
    name.path(&cache.folder)
}

/// All files of the cache's folders but its tag, as paths.
fn files(cache: &Cache) -> Vec<PathBuf> {
    let mut files: Vec<_> = walkdir::WalkDir::new(&cache.folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file() && !path.ends_with("CACHEDIR.TAG"))
        .collect();
    files.sort();
    files
}

/// Waits until there are no files of objects, nor unfinished ones.
async fn until_empty(cache: &Cache) {
    for _ in 0..1000 {
        if files(cache).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", files(cache));
}

/// As if it had last been used so long ago.
fn age(path: &Path, minutes: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    let time = SystemTime::now() - Duration::from_secs(minutes * 60);
    file.set_modified(time).unwrap();
}

fn random(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    std::iter::repeat_with(|| random.u8(..))
        .take(size)
        .collect()
}

/// A stream of these pieces, and an error at its end if told.
fn stream(pieces: &[&[u8]], fails: bool) -> Body {
    let (sender, receiver) = mpsc::channel(pieces.len() + 1);
    for piece in pieces {
        sender.try_send(Ok(piece.to_vec())).unwrap();
    }
    if fails {
        sender.try_send(Err(io::Error::other("gone"))).unwrap();
    }
    Body::Stream(receiver)
}

#[tokio::test]
async fn what_was_kept_is_read_again() {
    let (folder, cache) = cache(MB).await;
    for size in [1, 2, 30_000] {
        let (name, bytes) = (name("a", size), random(size as usize));
        assert_eq!(get(&cache, &name).await, None);
        put(&cache, &name, &bytes).await;
        assert_eq!(get(&cache, &name).await, Some(bytes.clone()));
        // Another process.
        assert_eq!(
            get(&open(folder.path(), MB).await, &name).await,
            Some(bytes)
        );
    }
    let stats = &cache.stats;
    let counts = [&stats.cache_hits, &stats.cache_stored, &stats.cache_damaged];
    assert_eq!(counts.map(|count| count.get()), [3, 3, 0]);
}

#[test]
fn objects_that_differ_in_anything_have_names_of_their_own() {
    let mut names = vec![
        Name::new(["aws", "b", "k", "e"], 1),
        Name::new(["http://localhost", "b", "k", "e"], 1),
        Name::new(["aws", "c", "k", "e"], 1),
        Name::new(["aws", "b", "l", "e"], 1),
        Name::new(["aws", "b", "k", "f"], 1),
        Name::new(["aws", "b", "k", "e"], 2),
        Name::new(["awsb", "", "k", "e"], 1),
        Name::new(["aws", "b", "ke", ""], 1),
    ];
    let count = names.len();
    names.sort_by_key(|name| name.path(Path::new("")));
    names.dedup_by_key(|name| name.path(Path::new("")));
    assert_eq!(names.len(), count);
}

#[tokio::test]
async fn what_is_damaged_is_noticed_removed_and_kept_anew() {
    let (_folder, cache) = cache(MB).await;
    let (size, bytes) = (1000, random(1000));
    let one = name("a", size);
    let path = file(&cache, &one);
    put(&cache, &one, &bytes).await;
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(97).map(flipped).collect();
    // Each byte of the end.
    damaged.extend((1000..1000 + END).map(flipped));
    for length in [0, 1, END, 999, 1000, 1000 + END - 1] {
        damaged.push(whole[..length].to_vec());
    }
    damaged.push([&whole[..], b"x"].concat());
    damaged.push(vec![0; whole.len()]);
    // The file of another object of the same size.
    let other = name("b", size);
    put(&cache, &other, &random(1000)).await;
    damaged.push(fs::read(file(&cache, &other)).unwrap());
    let count = damaged.len() as u64;
    for (number, damaged) in damaged.into_iter().enumerate() {
        fs::write(&path, &damaged).unwrap();
        assert!(entry::checked(&cache.folder, &one).is_err(), "{number}");
        assert_eq!(get(&cache, &one).await, None, "{number}");
        assert!(!path.exists(), "{number}");
        put(&cache, &one, &bytes).await;
        assert_eq!(get(&cache, &one).await.as_ref(), Some(&bytes), "{number}");
    }
    assert_eq!(cache.stats.cache_damaged.get(), count);
}

#[tokio::test]
async fn a_large_object_is_kept_while_it_comes_and_read_in_pieces() {
    let (_folder, cache) = cache(100 * MB).await;
    let bytes = random(33 << 20);
    let name = name("a", bytes.len() as u64);
    let pieces: Vec<&[u8]> = bytes.chunks(5 << 20).collect();
    let body = cache.keep(name.clone(), stream(&pieces, false)).await;
    assert_eq!(bytes_of(body).await.unwrap(), bytes);
    cache.finish().await;
    let body = cache.get(&name, &room().await).await.unwrap();
    assert!(matches!(body, Body::Stream(_)));
    assert!(bytes_of(body).await.unwrap() == bytes);
    let path = file(&cache, &name);
    let mut damaged = fs::read(&path).unwrap();
    damaged[20 << 20] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert!(get(&cache, &name).await.is_none() && !path.exists());
}

#[tokio::test]
async fn what_did_not_come_whole_is_not_kept() {
    let (_folder, cache) = cache(MB).await;
    let one = name("a", 6);
    for (pieces, fails) in [
        (&[&b"abc"[..]][..], false),
        (&[b"abc"], true),
        (&[b"abc", b"def"], true),
        (&[b"abc", b"defg"], false),
    ] {
        let body = cache.keep(one.clone(), stream(pieces, fails)).await;
        let given = bytes_of(body).await;
        match fails {
            true => assert_eq!(given.unwrap_err().to_string(), "gone"),
            false => assert_eq!(given.unwrap(), pieces.concat()),
        }
        until_empty(&cache).await;
    }
    // Nobody wants the rest.
    let (sender, pieces) = mpsc::channel(2);
    for piece in [b"abc", b"def"] {
        sender.try_send(Ok(piece.to_vec())).unwrap();
    }
    drop(cache.keep(one.clone(), Body::Stream(pieces)).await);
    sender.closed().await;
    until_empty(&cache).await;
    // Of a whole body, the length is compared.
    for bytes in [&b"abcde"[..], b"abcdefg"] {
        put(&cache, &one, bytes).await;
    }
    assert_eq!(files(&cache), [""; 0].map(PathBuf::from));
    assert_eq!(cache.stats.cache_stored.get(), 0);
    put(&cache, &one, b"abcdef").await;
    assert_eq!(files(&cache).len(), 1);
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first() {
    let (_folder, cache) = cache(16 * 1024).await;
    let size = 1000;
    let names: Vec<Name> = (0..12).map(|key| name(&key.to_string(), size)).collect();
    for (number, name) in names.iter().enumerate() {
        put(&cache, name, &random(size as usize)).await;
        // The first one was not used for longest.
        age(&file(&cache, name), 1000 - number as u64);
    }
    // But it is now.
    assert!(get(&cache, &names[0]).await.is_some());
    let most = 5 * (size + END as u64);
    folder::sweep(&cache.folder, most).unwrap();
    let mut left = Vec::new();
    for (number, name) in names.iter().enumerate() {
        left.extend(file(&cache, name).exists().then_some(number));
    }
    assert_eq!(left, [0, 8, 9, 10, 11]);
    // A use within the hour is not written down again.
    let path = file(&cache, &names[11]);
    age(&path, 30);
    let before = path.metadata().unwrap().modified().unwrap();
    assert!(get(&cache, &names[11]).await.is_some());
    assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn the_size_is_kept_while_it_is_written_to() {
    let size = 64 * 1024;
    let (_folder, cache) = cache(size).await;
    for key in 0..300 {
        put(&cache, &name(&key.to_string(), 1000), &random(1000)).await;
        let files = files(&cache);
        let held: u64 = files
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum();
        // The ends of files are not counted as written.
        assert!(held <= size + size / FREE / 16, "{key}: {held}");
    }
    assert!(files(&cache).len() > 50);
    assert!(cache.takes(1) && cache.takes(size));
    assert!(!cache.takes(0) && !cache.takes(size + 1));
}

#[tokio::test]
async fn a_cache_that_is_too_large_shrinks_when_it_is_opened() {
    let (folder, cache) = cache(MB).await;
    for key in 0..100 {
        put(&cache, &name(&key.to_string(), 1000), &random(1000)).await;
    }
    let smaller = open(folder.path(), 50_000).await;
    for _ in 0..1000 {
        if files(&smaller).len() <= 50 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = files(&smaller).len();
    assert!((40..=48).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_share_a_folder() {
    let (folder, first) = cache(100_000).await;
    let (second, third) = (
        open(folder.path(), 100_000).await,
        open(folder.path(), 100_000).await,
    );
    let work = [first, second, third].map(|cache| async move {
        let task = async move {
            for key in 0..200 {
                let name = name(&(key % 150).to_string(), 1000 + key % 150);
                let bytes = random(name.size as usize);
                let found = get(&cache, &name).await;
                assert!(found.is_none_or(|found| found == bytes));
                let body = cache.keep(name, Body::Bytes(bytes)).await;
                drop(body);
            }
            cache.finish().await;
            let stats = &cache.stats;
            assert_eq!(stats.cache_damaged.get(), 0);
            assert_eq!(stats.cache_stored.get(), 200);
            assert!(!cache.has_failed.load(Ordering::Relaxed));
        };
        tokio::spawn(task).await.unwrap();
    });
    futures_util::future::join_all(work).await;
}

#[tokio::test]
async fn unfinished_files_that_were_left_behind_are_removed() {
    let (_folder, cache) = cache(MB).await;
    let name = name("a", 6);
    let mut writing = Writing::begin(&cache.folder, name.clone()).unwrap();
    writing.add(b"abc").unwrap();
    let [unfinished] = &files(&cache)[..] else {
        panic!("{:?}", files(&cache));
    };
    let left = unfinished.with_extension("1-1.tmp");
    fs::copy(unfinished, &left).unwrap();
    age(&left, 61);
    folder::sweep(&cache.folder, 0).unwrap();
    assert_eq!(files(&cache), std::slice::from_ref(unfinished));
    assert_eq!(get(&cache, &name).await, None);
    drop(writing);
    assert_eq!(files(&cache), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let (_folder, cache) = cache(MB).await;
    let one = name("a", 1000);
    put(&cache, &one, &random(1000)).await;
    let ours = file(&cache, &one);
    let beside = |name: &str| ours.with_file_name(name);
    let hex = ours.file_name().unwrap().to_str().unwrap();
    let others = [
        cache.folder.join("letter.txt"),
        cache.folder.join("0a.tmp"),
        cache.folder.join("photos").join(hex),
        beside("notes"),
        beside(&hex[1..]),
        beside(&hex.to_uppercase().replace('0', "G")),
        beside(&format!("{hex}.json")),
        beside(&format!("{hex}~")),
    ];
    for other in &others {
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::write(other, "dear").unwrap();
        age(other, 100_000);
    }
    folder::sweep(&cache.folder, 0).unwrap();
    assert!(!ours.exists());
    for other in &others {
        assert!(other.exists(), "{}", other.display());
    }
}

#[tokio::test]
async fn a_folder_that_is_not_a_cache_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let words = |error: &str| error.contains(&path.display().to_string());
    fs::write(path.join("letter.txt"), "dear").unwrap();
    let error = refused(path).await;
    assert!(
        words(&error) && error.contains("holds other files"),
        "{error}"
    );
    assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    let error = refused(&path.join("letter.txt")).await;
    assert!(
        words(&error) && error.contains("is not a folder"),
        "{error}"
    );
    let error = refused(&path.join("letter.txt").join("cache")).await;
    assert!(words(&error) && error.contains("can't be made"), "{error}");
    fs::remove_file(path.join("letter.txt")).unwrap();
    fs::write(
        path.join("CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n# of a browser\n",
    )
    .unwrap();
    let error = refused(path).await;
    assert!(
        words(&error) && error.contains("of another program"),
        "{error}"
    );
    // An empty one becomes a cache, and stays one.
    fs::remove_file(path.join("CACHEDIR.TAG")).unwrap();
    for _ in 0..2 {
        let opened = Cache::open(path.to_owned(), MB, &Arc::default()).await;
        put(&opened.unwrap(), &name("a", 3), b"abc").await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_user_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, cache) = cache(MB).await;
    let one = name("a", 3);
    put(&cache, &one, b"abc").await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let path = file(&cache, &one);
    assert_eq!(mode(&cache.folder), 0o700);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&cache.folder.join("CACHEDIR.TAG")), 0o600);
    assert!(cache.stats.take_notes().is_empty());
    let allow = |mode| fs::set_permissions(&cache.folder, PermissionsExt::from_mode(mode)).unwrap();
    for writable in [0o720, 0o702, 0o777] {
        allow(writable);
        let error = refused(&cache.folder).await;
        assert!(error.contains("other users can write to"), "{error}");
    }
    allow(0o755);
    let stats = Arc::default();
    Cache::open(cache.folder.clone(), MB, &stats).await.unwrap();
    let notes = format!("{:?}", stats.take_notes());
    assert!(
        notes.contains("Warning") && notes.contains("other users can list"),
        "{notes}"
    );
}

#[tokio::test]
async fn a_failure_to_write_is_said_once_and_what_was_downloaded_is_handed_over() {
    let (_folder, cache) = cache(MB).await;
    fs::remove_dir_all(&cache.folder).unwrap();
    fs::write(&cache.folder, "in its place").unwrap();
    for key in ["a", "b", "c"] {
        put(&cache, &name(key, 3), b"abc").await;
        let name = name(key, 6);
        let body = cache
            .keep(name.clone(), stream(&[b"abc", b"def"], false))
            .await;
        assert_eq!(bytes_of(body).await.unwrap(), b"abcdef");
        cache.finish().await;
        assert_eq!(get(&cache, &name).await, None);
    }
    let notes = cache.stats.take_notes();
    let text = format!("{notes:?}");
    assert!(
        notes.len() == 1
            && text.contains("can't be written to, so what is downloaded may not be kept"),
        "{text}"
    );
    assert_eq!(cache.stats.cache_stored.get(), 0);
}

#[tokio::test]
async fn a_cache_may_be_emptied_while_it_fills() {
    let (folder, filled) = cache(MB).await;
    put(&filled, &name("a", 1), b"a").await;
    fs::remove_dir_all(&filled.folder).unwrap();
    put(&filled, &name("b", 1), b"b").await;
    let again = open(folder.path(), MB).await;
    assert_eq!(get(&again, &name("a", 1)).await, None);
    assert_eq!(get(&again, &name("b", 1)).await.unwrap(), b"b");
    assert!(again.folder.join("CACHEDIR.TAG").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_in_the_place_of_an_object_holds_nothing_up() {
    let (_folder, cache) = cache(MB).await;
    let name = name("a", 1);
    put(&cache, &name, b"a").await;
    let path = file(&cache, &name);
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    assert_eq!(get(&cache, &name).await, None);
    put(&cache, &name, b"a").await;
    assert_eq!(get(&cache, &name).await.unwrap(), b"a");
}

#[tokio::test]
async fn of_what_was_used_in_one_second_no_more_goes_than_has_to() {
    let (_folder, cache) = cache(MB).await;
    let time = SystemTime::now() - Duration::from_secs(600);
    for key in 0..12 {
        let name = name(&key.to_string(), 1000);
        put(&cache, &name, &random(1000)).await;
        let file = fs::File::options().append(true).open(file(&cache, &name));
        file.unwrap().set_modified(time).unwrap();
    }
    folder::sweep(&cache.folder, 5 * (1000 + END as u64)).unwrap();
    assert_eq!(files(&cache).len(), 5);
}
