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
echo '/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4ACqAGhdABiCgo8iTvimVffwmaUlDZBFkVpRtJvKrNwFMuyFUp+xSG3v3OhLuWG64JxTf5jIqVQO/D0q0wbXZkQ9VmSmzT3Xxx9E9BjfAgs/4sbGe+Hnf3lEHHm3Qq5luBu1DoThmoIW3YlzxPrgACyyQuwAAYABqwEAAIYdLXs+MA2LAgAAAAABWVo=' | base64 -d >n.xz; echo 'XQAAgAD//////////wAYgoKPIk74plX38JmlJQ2QRZFaUbSbyqzcBTLshVKfsUht79zoS7lhuuCcU3+YyKlUDvw9KtMG12ZEPVZkps0918cfRPQY3wILP+LGxnvh5395RBx5t0KuZbgbtQ6E4ZqCFt2JdG30l///zwPgAA==' | base64 -d >n.lzma; echo 'UEsDBBQAAAAIAIMYIlAsskLsWQAAAKsAAAAFAAAAZGlyL24NzskBwDAQwsC/qjGw+Oi/saQBjYQJQ9kcLg8tJGQUNKhoo4MuenhhYePgwcUbH3zxI4uI/MmQISWbHHLJYxYjxswvDlNmM4e5zKOLipqG/kOlmx566WMvPlBLAwQUAAAAAACDGCJQgaopYAkAAAAJAAAABgAAAHN0b3JlZGFzIGl0IGlzClBLAQIUAxQAAAAIAIMYIlAsskLsWQAAAKsAAAAFAAAAAAAAAAAAAACAAQAAAABkaXIvblBLAQIUAxQAAAAAAIMYIlCBqilgCQAAAAkAAAAGAAAAAAAAAAAAAACAAXwAAABzdG9yZWRQSwUGAAAAAAIAAgBnAAAAqQAAAAAA' | base64 -d >n.zip
xzcat n.xz | md5sum; xz -dc n.xz | tail -n 1; lzcat n.lzma | md5sum; cp n.xz m.xz; unxz m.xz; wc -l m; cp n.lzma m.lzma; unlzma -f m.lzma; wc -l m; lzma -dc <n.lzma | head -n 1; head -c 60 n.xz | xzcat 2>&1 >/dev/null | head -n 1
unzip -l n.zip | head -n 4; mkdir unzipped; unzip -q n.zip -d unzipped; find unzipped -type f | sort | xargs md5sum; unzip -p n.zip stored; unzip -t n.zip | tail -n 1; unzip missing.zip 2>&1 | head -n 1
mkdir -p deb/DEBIAN deb/usr; echo content >deb/usr/file; echo 2.0 >debian-binary; printf 'Package: p\nVersion: 1\n' >control; tar czf control.tar.gz ./control; (cd deb && tar czf ../data.tar.gz ./usr); ar r p.deb debian-binary control.tar.gz data.tar.gz 2>/dev/null; dpkg-deb -c p.deb | awk '{ print $NF }'; dpkg-deb -f p.deb Package; dpkg-deb -x p.deb undeb; cat undeb/usr/file
uuencode -m word <in/sub/hello >h.uu; uudecode -o h h.uu; cat h; printf 'begin 644 w\n#86)C\n`\nend\n' | uudecode -o -; echo; tar cf a.tar -C in numbers; tar rf a.tar in/empty 2>/dev/null; tar tvf a.tar | awk '{ print $1, $2, $3, $6 }'; tar cf - --exclude='num*' in | tar tf - | sort | head -n 3
(echo one; echo two) | gzip -9 | gunzip | tac; echo data | bzip2 -9 | bunzip2; for f in 1 2 3; do echo $f | gzip; done | zcat; cpio -o -H newc <<END 2>/dev/null | cpio -i --to-stdout 2>/dev/null
in/sub/hello
END
