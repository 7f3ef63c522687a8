//! One suite for a folder and for a bucket behind a real S3 server.

#[path = "../../tests/shared/bucket.rs"]
mod bucket;

use crate::artifacts::Artifacts;
use crate::objects::{Listed, MARKERS, Objects};
use bucket::{BucketServer, URL, walk};
use bytes::Bytes;
use diag::Code;
use engine::download::Memory;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, TryStreamExt as _};
use std::ops::Range;

const MEMORY: usize = 64 * 1024 * 1024;
/// The smallest part that the protocol allows: nothing here is optimised.
const BUCKET_PART: usize = 5 * 1024 * 1024;

struct House {
    server: BucketServer,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let _ = engine::http::Http::new().unwrap();
        Self {
            server: BucketServer::start().await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn stores(&self, memory: usize) -> [(&'static str, Objects); 2] {
        let bucket = Artifacts::named(URL, self.server.settings());
        let folder = Artifacts::from(self.folder.path());
        let mut bucket = bucket.open(memory).unwrap();
        bucket.memory = Memory::new(memory, BUCKET_PART);
        [("folder", folder.open(memory).unwrap()), ("bucket", bucket)]
    }

    /// Everything that either store holds, seen or not.
    fn files(&self) -> Vec<String> {
        let mut local = Vec::new();
        walk(self.folder.path(), &mut local);
        let mut names = self.server.files();
        names.extend(local.iter().map(|path| path.display().to_string()));
        names
    }
}

fn film(bytes: usize) -> Bytes {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

async fn stored(objects: &Objects, key: &str, film: &Bytes) {
    let mut upload = objects.upload(key.to_owned());
    let mut rest = film.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(300_001));
        upload.append(piece).await.unwrap();
    }
    upload.finish().await.unwrap();
}

async fn keys(objects: &Objects, below: Option<&str>) -> Vec<String> {
    let listed: Vec<Listed> = objects.list(below).try_collect().await.unwrap();
    let mut keys: Vec<String> = listed.into_iter().map(|one| one.key).collect();
    keys.sort();
    keys
}

async fn collected(objects: &Objects, key: &str, range: Option<Range<u64>>) -> Vec<u8> {
    let pieces: Vec<Bytes> = objects
        .stream(key, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_any_size_reads_back_whole_and_in_part() {
    let house = House::new().await;
    for (which, objects) in house.stores(MEMORY) {
        let part = objects.memory.size();
        for bytes in [0, 3, part - 1, part, 2 * part + 5] {
            let (key, film) = (format!("run/film.0/{bytes}"), film(bytes));
            stored(&objects, &key, &film).await;
            assert!(
                collected(&objects, &key, None).await == film,
                "{which} {bytes}"
            );
            if bytes > 3 {
                let middle = bytes / 2..bytes - 1;
                let range =
                    u64::try_from(middle.start).unwrap()..u64::try_from(middle.end).unwrap();
                assert!(
                    collected(&objects, &key, Some(range)).await == film[middle],
                    "{which} {bytes}"
                );
            }
            assert_eq!(keys(&objects, None).await, [key.as_str()], "{which}");
            objects.delete(&key).await.unwrap();
            objects.delete(&key).await.unwrap();
        }
    }
    assert_eq!(house.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seen_before_the_end_and_nothing_stays_of_what_is_thrown_away() {
    let house = House::new().await;
    for (which, objects) in house.stores(MEMORY) {
        // Several, for a part on its way may be cut at each of its steps.
        for n in 0..8 {
            let mut upload = objects.upload("run/film.0/3".to_owned());
            upload
                .append(film(2 * objects.memory.size() + 5))
                .await
                .unwrap();
            assert_eq!(keys(&objects, Some("run")).await, [""; 0], "{which} {n}");
            upload.discard().await;
            assert_eq!(house.files(), [""; 0], "{which} {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_bucket_whose_process_died_is_found_by_its_marker() {
    let house = House::new().await;
    let [_, (_, objects)] = house.stores(MEMORY);
    let mut upload = objects.upload("run/film.0/3".to_owned());
    upload.append(film(2 * BUCKET_PART + 5)).await.unwrap();
    let parts = || {
        house
            .files()
            .iter()
            .filter(|name| name.contains(".part-"))
            .count()
    };
    while parts() < 2 {
        tokio::task::yield_now().await;
    }
    drop(upload);
    let marker = format!("{MARKERS}/run/film.0/3");
    assert_eq!(keys(&objects, Some(MARKERS)).await, [marker.as_str()]);
    objects.abort_marked(&marker).await.unwrap();
    assert_eq!(house.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_many_uploads_stay_within_the_memory_of_the_process() {
    const UPLOADS: usize = 5;
    let house = House::new().await;
    for (which, mut objects) in house.stores(MEMORY) {
        let part = objects.memory.size();
        objects.memory = Memory::new(2 * part, part);
        let film = film(2 * part + 5);
        let held = [objects.memory.take().await, objects.memory.take().await];
        let mut waits = objects.upload("run/film.9/3".to_owned());
        let append = waits.append(film.clone());
        assert!(append.now_or_never().is_none(), "{which}: it has no memory");
        drop(held);
        waits.discard().await;
        let one = async |n: usize| {
            let key = format!("run/film.{n}/3");
            stored(&objects, &key, &film).await;
            assert!(collected(&objects, &key, None).await == film, "{which} {n}");
        };
        join_all((0..UPLOADS).map(one)).await;
        assert_eq!(keys(&objects, Some("run")).await.len(), UPLOADS, "{which}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_our_key_says_so() {
    let house = House::new().await;
    let wrong = Artifacts::named(URL, house.server.settings_with("another"));
    let refused = wrong
        .open(MEMORY)
        .unwrap()
        .put("a", film(3))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::S156, "{refused:?}");
}

#[tokio::test]
async fn files_of_a_folder_are_written_with_fsync() {
    let house = House::new().await;
    let [(_, folder), _] = house.stores(MEMORY);
    // What a disk loses cannot be seen here; that it is asked not to can.
    let shown = format!("{folder:?}");
    assert!(shown.contains("fsync: true"), "{shown}");
}
