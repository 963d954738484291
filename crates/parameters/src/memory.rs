//! Available memory, from /proc/meminfo, control groups and ulimit: a config's sizes are checked against it before anything is made.

use std::path::Path;

/// What is taken for the memory of a system that does not tell: 64 GiB.
const UNKNOWN: u64 = 64 << 30;

/// The bytes that this process can still fill: what the machine has free, its control groups and its limits allow.
pub fn available_memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let free = kilobytes(&read("/proc/meminfo"), "MemAvailable:");
    let groups = control_groups(&read("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
    let addresses = addresses(&read("/proc/self/limits"), &read("/proc/self/status"));
    [free, groups, addresses].into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}

fn kilobytes(text: &str, word: &str) -> Option<u64> {
    number(text, word)?.checked_mul(1024)
}

/// What `ulimit -v` leaves.
fn addresses(limits: &str, status: &str) -> Option<u64> {
    Some(number(limits, "Max address space")?.saturating_sub(kilobytes(status, "VmSize:")?))
}

/// What the process's control groups leave, of version 2 (`0::/group`) or 1 (`9:memory:/group`).
fn control_groups(own: &str, root: &Path) -> Option<u64> {
    let left = |line: &str| {
        let (_, line) = line.split_once(':')?;
        let (controllers, group) = line.split_once(':')?;
        let (root, limit, used) = match controllers {
            "" => (root.to_path_buf(), "memory.max", "anon "),
            "memory" => (root.join("memory"), "memory.limit_in_bytes", "total_rss "),
            _ => return None,
        };
        // In a container the group is named from outside, and its files lie at the root.
        let groups = Path::new(group.trim_start_matches('/')).ancestors().map(|group| root.join(group));
        groups.filter_map(|group| room(&group, limit, used)).min()
    };
    own.lines().filter_map(left).min()
}

fn room(group: &Path, limit: &str, used: &str) -> Option<u64> {
    let limit: u64 = std::fs::read_to_string(group.join(limit)).ok()?.trim().parse().ok()?;
    // Cached files count as used too, and make room when it is wanted.
    let used = number(&std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default(), used).unwrap_or(0);
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_narrowest_limit_counts() {
        let meminfo = "MemTotal:       24000 kB\nMemAvailable:   1000 kB\n";
        assert_eq!(kilobytes(meminfo, "MemAvailable:"), Some(1_024_000));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax address space  5000000  unlimited  bytes\n";
        assert_eq!(addresses(limits, "VmSize:\t    1000 kB\n"), Some(5_000_000 - 1_024_000));
        assert_eq!(addresses("Max address space   unlimited  unlimited  bytes", "VmSize: 1000 kB"), None);

        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("jobs/memory.max", "5000\n");
        write("jobs/memory.stat", "anon 1000\nfile 900\n");
        write("jobs/one/memory.max", "max\n");
        write("memory/jobs/memory.limit_in_bytes", "3000");
        assert_eq!(control_groups("0::/jobs/one\n", root.path()), Some(4000));
        assert_eq!(control_groups("0::/jobs/one\n4:cpu,memory_x:/\n9:memory:/jobs\n", root.path()), Some(3000));
        assert_eq!(control_groups("0::/other\n", root.path()), None);
        assert!(available_memory() > 1 << 20);
    }
}
