# Archives and compression.
mkdir -p in/sub; seq 5000 >in/numbers; echo hello >in/sub/hello; ln -s sub/hello in/link; chmod 750 in/sub; : >in/empty; head -c 100000 /dev/zero >in/zeros; touch -d '2020-01-02 03:04:05' in/numbers
tar cf t.tar in; tar tf t.tar | sort; mkdir out; tar xf t.tar -C out; diff -r in out/in && echo tar; stat -c '%a %y' out/in/numbers | cut -c1-23; readlink out/in/link; rm -r out
for z in gzip bzip2; do tar cf - in | $z -c >t.z; mkdir out; $z -dc t.z | tar xf - -C out; diff -r in out/in && echo $z; rm -r out; done
tar czf t.tgz in; gzip -t t.tgz; echo $?; zcat t.tgz | tar tf - | wc -l; tar xzf t.tgz -O in/sub/hello
gzip -k in/numbers 2>/dev/null || gzip -c in/numbers >in/numbers.gz; zcat in/numbers.gz | cmp - in/numbers && echo zcat; gunzip -c in/numbers.gz | md5sum; printf broken | gunzip 2>&1 | head -n 1; head -c 100 in/numbers.gz >cut.gz; zcat cut.gz 2>&1 >/dev/null | head -n 1
bzip2 -c in/numbers >n.bz2; bzcat n.bz2 | md5sum; bunzip2 n.bz2; md5sum <n
(cd in && find . | sort | cpio -o -H newc 2>/dev/null) >c.cpio; cpio -t <c.cpio 2>/dev/null | sort; mkdir out; (cd out && cpio -id <../c.cpio 2>/dev/null); diff -r in out && echo cpio; rm -r out
ar r lib.a in/numbers in/empty 2>/dev/null; ar t lib.a 2>/dev/null; ar p lib.a numbers 2>/dev/null | md5sum
tar cf - in | (mkdir through; cd through; tar xf -); diff -r in through/in && echo through a pipe
head -c 3000000 /dev/urandom >random; gzip -c random | zcat | cmp - random && echo random; md5sum <random | wc -c; split -b 1000000 random piece.; cat piece.* | cmp - random && echo pieces
