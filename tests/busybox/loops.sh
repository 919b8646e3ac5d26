# Loop devices by busybox's own programs. Linux has them in a module.
[ -e /dev/loop-control ] || insmod /usr/lib/tests/loop.ko
cd /tmp; mkdir -p m
losetup -f; dd if=/dev/zero of=image bs=1k count=4096 2>/dev/null; losetup /dev/loop0 image; losetup -a; losetup -f; losetup /dev/loop0
blockdev --getsize64 /dev/loop0; mke2fs -F /dev/loop0 2>&1 | tail -n 1; mount -t ext2 /dev/loop0 m; echo hello >m/file; umount m; losetup -d /dev/loop0; losetup -a; losetup -d /dev/loop0; echo $?
mount -t ext2 -o loop image m; grep ' /tmp/m ' /proc/mounts | cut -d ' ' -f 1-3; losetup -a; cat m/file; cp /bin/busybox m; umount m; losetup -a; losetup -f
mount -t ext2 -o loop,ro image m; cmp m/busybox /bin/busybox && echo the same; touch m/x; umount m; losetup -a
losetup -o 1024 /dev/loop5 image; losetup -a; dd if=/dev/loop5 bs=2 skip=28 count=1 2>/dev/null | od -An -tx2; losetup -d /dev/loop5
losetup -r /dev/loop2 image; echo x >/dev/loop2; blockdev --getro /dev/loop2; losetup -d /dev/loop2; losetup -P /dev/loop6 image; losetup -a; losetup -d /dev/loop6; losetup -a
losetup /dev/loop1 none; losetup /dev/loop1 /dev/zero; losetup -d /dev/none; rm -r image m; echo done
