//! Where CPUs lie and what caches they share: as Linux says, on a processor whose caches and levels CPUID lists.

use crate::machine::{Kernel, Machine};

/// What is shown, a line for each file.
fn shown(kernel: Kernel, cpus: &str) -> String {
    let script = "cd /sys/devices/system/cpu
        for name in core_id die_id physical_package_id core_cpus thread_siblings die_cpus package_cpus core_siblings \\
            core_cpus_list thread_siblings_list die_cpus_list package_cpus_list core_siblings_list
        do for file in cpu[0-9]*/topology/$name; do echo $file: $(cat $file); done; done
        for name in coherency_line_size id level number_of_sets physical_line_partition shared_cpu_list shared_cpu_map size \\
            type ways_of_associativity
        do for file in cpu[0-9]*/cache/index*/$name; do echo $file: $(cat $file); done; done
        for file in online possible present offline; do echo $file: $(cat $file); done
        grep -E '^(cache size|physical id|siblings|core id|cpu cores)' /proc/cpuinfo";
    let options = ["--smp", cpus, "--cpu", "Skylake-Client", "--append", "quiet"];
    let (status, printed) = Machine::boot(kernel, &options, &["sh", "-c", script]).end();
    assert_eq!(status, Some(0), "{printed}");
    // Without what the kernel says.
    printed
        .lines()
        .filter(|line| line.contains(':') && !line.starts_with('['))
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[test]
fn cpus_and_caches_lie_where_linux_says() {
    for (cpus, count) in [("2", 2), ("8,sockets=2,cores=2,threads=2", 8)] {
        let (ours, theirs) = (shown(Kernel::Rusk, cpus), shown(Kernel::Linux, cpus));
        assert_eq!(ours, theirs);
        // Of each, 13 files of its place, 10 of each of its four caches, and 5 lines of /proc/cpuinfo.
        assert_eq!(ours.lines().count(), 4 + 58 * count, "{ours}");
    }
}
