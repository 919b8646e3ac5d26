# A few of stress-ng's stressors, which check what they do.
stress-ng --version | cut -d, -f1
for stressor in cpu fork pipe switch malloc mmap futex getdent dentry flock lockf fcntl hdd link rename symlink yield kill sigsegv poll vm mremap memfd madvise mprotect dup sendfile seek splice tee copy-file fallocate exec wait clone pthread; do
    timeout -s KILL 60 stress-ng --quiet --$stressor 1 --$stressor-ops 10 --timeout 30 --verify --temp-path . >log 2>&1; echo "$stressor $?"
done
