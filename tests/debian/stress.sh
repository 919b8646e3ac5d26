# A few of stress-ng's stressors, which check what they do.
stress-ng --version | cut -d, -f1
for stressor in cpu pipe futex flock rename kill mremap splice; do
    timeout -s KILL 60 stress-ng --quiet --$stressor 1 --$stressor-ops 5 --timeout 30 --verify --temp-path . >log 2>&1; echo "$stressor $?"
done
