//! The command that installs PostgreSQL on this platform.

use std::fs;

/// For the one error at the end of the search.
pub(super) fn command() -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@18";
    }
    command_for(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

/// `os_release`: the text of `/etc/os-release` (os-release(5)).
fn command_for(os_release: &str) -> &'static str {
    let ids = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '));
    for id in ids {
        match id {
            "debian" | "ubuntu" => return "apt-get install postgresql",
            "fedora" | "rhel" | "centos" => return "dnf install postgresql-server",
            "alpine" => return "apk add postgresql",
            "arch" => return "pacman -S postgresql",
            "suse" | "opensuse" => return "zypper install postgresql-server",
            _ => {}
        }
    }
    "your package manager: the PostgreSQL server, 15 or newer"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn the_install_command_is_the_platforms_own() {
        let cases = [
            ("NAME=x\nID=debian\n", "apt-get install postgresql"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install postgresql-server"),
            ("ID=alpine\n", "apk add postgresql"),
            ("ID=nixos\n", "your package manager: the PostgreSQL server, 15 or newer"),
        ];
        for (text, want) in cases {
            assert_eq!(command_for(text), want, "{text}");
        }
    }
}
