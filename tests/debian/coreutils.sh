# Debian's coreutils, one after the other.
mkdir tree && cd tree || exit
seq 1 1000 >numbers
sha256sum numbers; md5sum <numbers; cksum numbers; cksum -a sha1 numbers; b2sum numbers; sum numbers
head -n 3 numbers; tail -n 3 numbers; tail -c 9 numbers
sort -rn numbers | head -n 2; sort -R --random-source=numbers numbers | md5sum; shuf --random-source=numbers -n 3 numbers
split -l 300 numbers part. && wc -l part.*; csplit -s numbers 500 && wc -l xx0*
cut -c 1-2 numbers | uniq -c | sort -n | tail -n 2; paste -s -d+ numbers | tr -d 1 | wc -c
join <(seq 1 5) <(seq 3 8); comm -12 <(seq 1 5) <(seq 3 8) | tr '\n' ' '; tac numbers | nl | tail -n 1
base64 numbers | fold -w 40 | head -n 2; base32 <<<text; od -An -tx1 <<<text; expand <<<$'a\tb' ; unexpand -a <<<'a       b'
printf '%s-%05d-%x\n' word 42 255; factor 1234567890; numfmt --to=iec 1048576; expr 6 '*' 7; seq -s, 1 0.5 3
cp -a numbers copy; cp --reflink=auto --sparse=always numbers sparse; ln numbers hard; ln -s numbers soft; mv copy moved
stat -c '%n %s %h %a %F' numbers soft hard moved; readlink -f soft | sed 's|.*/||'; realpath --relative-to=/tmp . | sed 's|.*/||'
chmod u=rwx,g=rx,o= moved; stat -c %A moved; chown 1:2 moved; stat -c %u:%g moved; touch -d '2001-02-03 04:05:06 UTC' moved
TZ=UTC ls -l --time-style=full-iso moved; TZ=UTC date -r moved; TZ=UTC date -d @1234567890 +%FT%T
install -D -m 640 numbers deep/er/file; find . -type f | sort; du -a --apparent-size deep | sort -k2 | tail -n 1
truncate -s 1M hole; stat -c '%s %b' hole; dd if=/dev/zero of=hole bs=4k seek=10 count=1 conv=notrunc status=none; cmp hole <(head -c 1M /dev/zero) && echo same
dd if=numbers bs=7 skip=3 count=2 status=none; cat numbers | dd of=out bs=100 iflag=fullblock status=none; cmp numbers out
mkfifo pipe; (echo through >pipe &) ; cat pipe; mknod null c 1 3; echo gone >null; test -c null && echo device
tee a b <<<both >/dev/null; cat a b; rm -r deep; rmdir deep 2>&1; mkdir -p x/y/z; rmdir -p x/y/z; ls
timeout 0.2 sleep 5; echo $?; timeout -s INT 0.2 sleep 5; echo $?; env -i A=1 env; nice -n 5 nice; nohup true; echo $?
id; id -u; whoami; groups; logname 2>&1; hostname; arch; uname -sm; pwd | sed 's|.*/||'; tty; nproc --all >/dev/null && echo some
stdbuf -oL echo buffered; chroot / echo rooted; test -e numbers -a ! -d numbers; echo $?; pathchk -p 'a b' 2>&1; mktemp -u XXX | wc -c
df --output=target . >/dev/null && echo df; sync numbers; shred -n 1 -u part.aa && ls part.aa 2>&1
who; users; ptx <<<'a b' | head -n 2; tsort <<<'a b b c'; dircolors -b | head -c 10; echo; yes | head -n 2; false; echo $?
ls --color=always -la --time-style=+ x 2>&1; ls -1 -U /proc/self/fd | wc -l; cat /dev/null; cp /proc/self/status st && test -s st && echo copied
