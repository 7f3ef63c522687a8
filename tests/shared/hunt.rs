//! Inputs that the program must survive: a kept corpus that every run replays,
//! and what is made from it by cutting, joining and repeating.
//!
//! An input that fails is written into the corpus, as small as it could be made.
//! `PROPTEST_CASES=100000 cargo test -p profile --test hostile` looks longer.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nothing that the corpus has takes a tenth of it without optimisation.
const TIME: Duration = Duration::from_secs(20);
/// The most memory that a process of these tests may ever have, in bytes.
const MEMORY: u64 = 1 << 30;

/// One kind of input.
pub(crate) struct Hunt<'a> {
    /// The folder of its corpus.
    pub(crate) corpus: PathBuf,
    /// Pieces that inputs are made of, beside those of the corpus.
    pub(crate) tokens: &'a [&'a str],
    /// Cases when the environment does not say.
    pub(crate) cases: u32,
}

impl Hunt<'_> {
    /// Replays the corpus, then looks for more.
    pub(crate) fn run(&self, target: impl Fn(&[u8])) {
        let corpus = self.corpus();
        assert!(corpus.len() > 3, "{}: no corpus", self.corpus.display());
        for (path, bytes) in &corpus {
            eprintln!("replaying {}", path.display());
            let begun = worked();
            target(bytes);
            let took = worked() - begun;
            assert!(took < TIME, "{} took {took:?}", path.display());
        }
        let small = corpus.iter().map(|(_, bytes)| bytes.clone());
        self.search(small.filter(|bytes| bytes.len() < 4_096).collect(), &target);
        let most = peak();
        assert!(most < MEMORY, "the process had {most} bytes");
    }

    fn search(&self, seeds: Vec<Vec<u8>>, target: &dyn Fn(&[u8])) {
        let cases = match std::env::var_os("PROPTEST_CASES") {
            Some(_) => Config::default().cases,
            None => self.cases,
        };
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let found = TestRunner::new(config).run(&input(seeds, self.tokens), |bytes| {
            let begun = worked();
            target(&bytes);
            let took = worked() - begun;
            prop_assert!(took < TIME, "took {:?}", took);
            Ok(())
        });
        if let Err(TestError::Fail(why, bytes)) = found {
            let path = self.keep(&bytes);
            panic!(
                "{why}: {:?}, kept as {}",
                String::from_utf8_lossy(&bytes),
                path.display()
            );
        }
    }

    /// Every file; `.rep` has a list of texts and how often each stands.
    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&self.corpus).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).unwrap();
            let bytes = match path.extension().is_some_and(|ending| ending == "rep") {
                true => repeated(&bytes),
                false => bytes,
            };
            (path, bytes)
        };
        paths.into_iter().map(read).collect()
    }

    fn keep(&self, bytes: &[u8]) -> PathBuf {
        let number = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let path = self.corpus.join(format!("found-{number:016x}"));
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn repeated(bytes: &[u8]) -> Vec<u8> {
    let parts: Vec<(String, usize)> = serde_json::from_slice(bytes).unwrap();
    let parts = parts.into_iter().map(|(text, count)| text.repeat(count));
    parts.collect::<String>().into_bytes()
}

/// Pieces put together, or an input of the corpus with some of it replaced.
fn input(seeds: Vec<Vec<u8>>, tokens: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let tokens: Vec<Vec<u8>> = tokens
        .iter()
        .map(|token| token.as_bytes().to_vec())
        .collect();
    let whole = prop::sample::select(seeds.clone());
    let cut = (whole.clone(), any::<prop::sample::Index>(), 1_usize..40).prop_map(
        |(seed, at, length)| {
            let at = at.index(seed.len().max(1)).min(seed.len());
            seed[at..seed.len().min(at + length)].to_vec()
        },
    );
    let piece = prop_oneof![
        6 => prop::sample::select(tokens),
        2 => cut,
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => "\\PC{0,8}".prop_map(String::into_bytes),
    ];
    let pieces = prop::collection::vec(piece.clone(), 0..24).prop_map(|pieces| pieces.concat());
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, piece), 1..6);
    let edited = (whole, edits).prop_map(|(mut bytes, edits)| {
        for (at, length, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + length);
            bytes.splice(at..end, piece);
        }
        bytes
    });
    prop_oneof![2 => edited, 1 => pieces]
}

/// How long this thread has worked, however busy the machine is; zero where the system does not say.
fn worked() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // `utime` and `stime`, in hundredths of a second (proc(5)).
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that this process ever had, in bytes; 0 where the system does not say.
fn peak() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}
