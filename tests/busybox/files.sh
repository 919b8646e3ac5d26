# Files and folders.
mkdir -p a/b/c d; touch a/one a/b/two; echo content >a/b/c/three; ln -s ../b/two a/link; ln a/one a/hard
find a | sort; find a -type f -name 't*' | sort; find a -type l; find a -links 2 | sort; find a -maxdepth 1 -type d | sort
find a -name three -exec cat {} \; ; find a -empty -type f | sort; find a -newer a/one -name nothing; find a -type f -print0 | xargs -0 ls | sort
ls a; ls -a a/b; ls -1F a; ls -ln a/one | cut -c1-10; ls -i a/one a/hard | awk '{ print $1 }' | uniq | wc -l; ls no-such 2>&1; ls -d a/*/; ls -R a | head -n 20
cp a/one copy; cp -r a tree; find tree | sort | wc -l; cp -a a tree2; test -L tree2/link && echo link kept; cp -d a/link l2; readlink l2; cp no-such x 2>&1; cp a y 2>&1
mv copy moved; ls moved; mv moved d; ls d; mv d/moved d/again; mv -n d/again a/one; ls d; mv a/b/c d; ls d; mkdir e; mv -t e d/again 2>/dev/null || mv d/again e; ls e
rm e/again; rmdir e; rmdir d 2>&1; rm -r d; rm no-such 2>&1; rm -f no-such; echo $?; rm -rf tree tree2; ls
echo 12345 >f; chmod 640 f; stat -c '%a %s %F %h %U' f; chmod u+x,g-r,o=w f; stat -c %A f; chmod 4755 f; stat -c %A f; chmod -R a+rX a; stat -c %a a/one
chown 1000:1000 f; stat -c '%u %g' f; chgrp 5 f; stat -c %G f; chown root f; stat -c %U f
touch -d '2020-02-02 02:02:02' f; stat -c %y f | cut -c1-19; touch -r f g; stat -c %Y f g | uniq | wc -l; find . -maxdepth 1 -mtime +100 | sort
dd if=/dev/zero of=z bs=4k count=10 2>/dev/null; wc -c z; dd if=z of=s bs=1 seek=100000 count=1 2>/dev/null; stat -c %s s; dd if=/etc/passwd bs=1 skip=5 count=4 2>/dev/null; echo; dd if=/dev/zero bs=100 count=3 2>&1 | head -n 2
truncate -s 5 z; wc -c z; truncate -s 1M z; stat -c %s z; fallocate -l 5000 w; stat -c %s w; du -s a | cut -f1 | grep -c .; cat /dev/null | wc -c
mkfifo p; echo through >p & cat p; wait; test -p p && echo fifo; mknod n c 1 3; echo lost >n; cat n; test -c n && echo device
readlink -f a/link | sed 's|.*/agent||'; realpath a/b/.. | sed 's|.*/agent||'; basename /x/y.txt .txt; dirname /x/y.txt; mktemp -u tmp.XXXXXX | wc -c; t=$(mktemp); test -f "$t" && echo temporary; rm "$t"; m=$(mktemp -d); test -d "$m" && rmdir "$m" && echo folder
ln -s loop loop; cat loop 2>&1; ln -s nowhere dangling; cat dangling 2>&1; ls -L dangling 2>&1; rm loop dangling; ln -sf a/one l3; cat l3; ln -snf f l3; readlink l3
echo data >src; install -m 700 src dst 2>/dev/null || cp src dst; cat dst; cmp src dst && echo equal; echo x >>src; cmp src dst; sync; echo "sync $?"
test -r f -a -w f && echo rw; test f -nt g || echo not newer; test a/one -ef a/hard && echo same file; [ -s f ] && echo non-empty; [ -k /tmp ] && echo sticky
mkdir m; mount -t tmpfs none m && echo mounted; echo inside >m/file; grep -c ' tmpfs ' /proc/mounts | awk '{ print $1 > 3 }'; df m | tail -n 1 | awk '{ print $1, $6 }' | sed 's|/tmp/agent||'; umount m && ls m | wc -l
mount -t tmpfs -o size=64k none m; dd if=/dev/zero of=m/big bs=4k count=100 2>&1 | head -n 1; stat -c %s m/big; umount m
mkdir r; cp /bin/busybox r; chroot r /busybox ls / ; chroot r /busybox echo jailed
cd a/b; pwd | sed 's|.*/agent||'; cd ..; cd - | sed 's|.*/agent||'; cd; pwd; cd /no/such 2>&1; cd /etc/passwd 2>&1; cd /tmp/agent; tree a 2>/dev/null | tail -n 1
for i in $(seq 200); do echo $i >many.$i; done; ls many.* | wc -l; cat many.* | sort -n | tail -n 1; rm many.*; ls many.* 2>&1 | head -n 1
