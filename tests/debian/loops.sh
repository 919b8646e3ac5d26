# Loop devices by the programs of util-linux and e2fsprogs. Linux has them in a module.
[[ -e /dev/loop-control ]] || busybox insmod /usr/lib/tests/loop.ko
cd /tmp; mkdir -p m n; export LANG=C
list() { losetup -l -n -O NAME,SIZELIMIT,OFFSET,AUTOCLEAR,RO,PARTSCAN,DIO,LOG-SEC,BACK-FILE "$@" | tr -s ' ' | sort; }
check() { e2fsck -fn "$1" >/tmp/check 2>&1; local status=$?; grep -E 'WARNING|recover|wrong|corrupt' /tmp/check; echo "e2fsck $status"; }

# One by one.
losetup -f; truncate -s 8M image; mke2fs -q -F -t ext4 image; losetup -f --show image; losetup -f; list; losetup -a | sed 's/\[[^]]*\]:[0-9]*/[]/'
losetup /dev/loop0 | sed 's/\[[^]]*\]:[0-9]*/[]/'; losetup -j image | sed 's/\[[^]]*\]:[0-9]*/[]/'; losetup -j none
blockdev --getsize64 --getss --getpbsz --getro /dev/loop0; blockdev --getbsz /dev/loop0; lsblk -n -r -o NAME,SIZE,TYPE,RO /dev/loop0
losetup /dev/loop0 image 2>&1; echo $?; losetup -d /dev/loop0; echo $?; losetup -d /dev/loop0 2>&1; echo $?; losetup /dev/loop0 2>&1; losetup -a
losetup -o 1M --sizelimit 2M /dev/loop3 image; list; cmp <(tail -c +1048577 image | head -c 2M) /dev/loop3 && echo the same; truncate -s 10M image
losetup -c /dev/loop3; blockdev --getsize64 /dev/loop3; losetup -d /dev/loop3; truncate -s 8M image
losetup -r /dev/loop1 image; list; echo x 2>&1 >/dev/loop1; blockdev --getro /dev/loop1; losetup -d /dev/loop1
losetup -b 4096 /dev/loop2 image; list; losetup -d /dev/loop2; losetup --direct-io=on /dev/loop2 image 2>&1; list -a; losetup -D; list; echo none left
losetup --show /dev/loop9 image; losetup -d /dev/loop9; losetup /dev/loop1 none 2>&1; losetup /dev/loop1 /tmp 2>&1; losetup -r /dev/loop1 /dev/null 2>&1

# A file system.
mount -o loop image m; grep ' /tmp/m ' /proc/mounts | cut -d ' ' -f 1-3; list; echo hello >m/file; mkdir m/folder; cp /bin/bash m/folder; ln m/file m/link; cmp m/folder/bash /bin/bash && df --output=size,target m | tail -n 1
losetup -d /dev/loop0; list; umount m; list; check image; mount -o loop,ro image m; cat m/file; touch m/x 2>&1; list; cmp m/folder/bash /bin/bash; umount m; losetup -a; check image
mount -o loop image m; mount -o loop image n; ls n | sort; echo second >n/second; cat m/second; list; umount m; list; umount n; list; check image
losetup -r /dev/loop4 image; mount /dev/loop4 m 2>&1; cat m/second; umount m; list; losetup -d /dev/loop4
losetup /dev/loop4 image; mount /dev/loop4 m; umount m; list; losetup -d /dev/loop4; mount /dev/loop4 m 2>&1; echo $?

# On one another.
mount -o loop image m; truncate -s 4M m/inner; mke2fs -q -F -t ext4 m/inner; mount -o loop m/inner n; list; seq 10000 >n/numbers; umount m 2>&1; md5sum n/numbers; umount n; list; check m/inner; umount m; check image; list
losetup /dev/loop0 image; losetup /dev/loop1 /dev/loop0; list; losetup /dev/loop0 /dev/loop1 2>&1; losetup -d /dev/loop0; list; losetup -d /dev/loop1; list

# Partitions.
truncate -s 16M disk; printf '%s\n' 'start=2048,size=8192' 'start=12288,size=10000' | sfdisk -q -X gpt disk; losetup -P -f --show disk; ls /dev/loop0*; lsblk -n -r -o NAME,SIZE,TYPE /dev/loop0
mke2fs -q -t ext4 /dev/loop0p2; mount /dev/loop0p2 m; echo in a partition >m/file; losetup -d /dev/loop0; list; umount m; list; ls /dev/loop0*
losetup -P /dev/loop0 disk; mount /dev/loop0p2 m; cat m/file; umount m; cmp <(tail -c +6291457 disk | head -c 5120000) /dev/loop0p2 && echo the same; e2fsck -fn /dev/loop0p2 >/dev/null 2>&1; echo $?
echo 'start=22528,size=2048' | sfdisk -q -a --no-reread /dev/loop0 2>&1; blockdev --rereadpt /dev/loop0; ls /dev/loop0*; losetup -d /dev/loop0; ls /dev/loop0*

# Where there is no room.
mkdir -p small; mount -t tmpfs -o size=3M tmpfs small; truncate -s 16M small/image; mke2fs -q -F -t ext4 -O ^has_journal -E lazy_itable_init=1 small/image; mount -o loop small/image m
dd if=/dev/zero of=m/big bs=1M count=8 iflag=fullblock conv=fsync 2>&1 | grep -o 'Input/output error'; umount m; list; rm small/image; umount small; dmesg -n 1; echo done
