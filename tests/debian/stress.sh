# A few of stress-ng's stressors, which check what they do.
export LC_ALL=C; stress-ng --version | cut -d, -f1
for stressor in cpu fork pipe switch malloc mmap futex sem getdent dentry file-ioctl flock lockf fstat fcntl hdd link rename symlink yield nanosleep kill sigsegv poll vm mremap memfd madvise mlock mprotect dup sendfile seek splice tee vm-splice copy-file fallocate fiemap clone exec wait zombie vfork sched sleep sysinfo times chmod chdir access open dir getrandom iomix msync null zero tmpfs sysbadaddr get set procfs inotify locka membarrier mincore prctl shm mq sem-sysv msg fault brk stack bigheap userns close env chown utime xattr metamix readahead resources sigfpe sigq sigpending sigsuspend itimer clock tlb-shootdown tsc vdso remap pthread; do
    timeout -s KILL 30 stress-ng --quiet --oomable --$stressor 1 --$stressor-ops 20 --timeout 5 --verify --temp-path . >log 2>&1; status=$?
    echo "$stressor $status"; ((status == 0)) || grep -v 'completed\|dispatching' log | head -n 3
done
