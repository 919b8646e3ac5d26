# Filters and editors of text.
seq 20 >n
head -n 3 n; tail -n 2 n; tail -n +19 n; head -c 5 n; sed -n '5,7p' n; sed '3,$d' n
sed -e 's/\([0-9]\)\([0-9]\)/\2-\1/' -e '/^5$/{s/5/five/;a\
after five' -e '}' n | head -n 12
seq 5 | sed 'N;s/\n/+/'; seq 3 | sed '1!G;h;$!d'; echo 'a,b;c' | sed 's/[,;]/\n/g'
awk 'BEGIN { for (i = 0; i < 5; i++) sum += i * i; print sum, length("four"), substr("substring", 4, 6) }'
awk -F: '$3 > 0 { n++; names[n] = $1 } END { for (i = 1; i <= n; i++) printf "%s%s", names[i], i < n ? "," : "\n" }' /etc/passwd
seq 100 | awk '{ count[$1 % 7]++ } END { for (k = 0; k < 7; k++) print k, count[k] }'
echo 'The Quick Brown' | awk '{ print toupper($1), tolower($2), NF; gsub(/o/, "0"); print; split($0, w, " "); print w[3] }'
awk 'BEGIN { printf "%.4f %.4f %d %s\n", sin(1), exp(1), int(7.9), index("needle in hay", "in"); "echo from-shell" | getline x; print x }'
grep -c 1 n; grep -v 1 n | wc -l; grep -E '^(7|1[2-4])$' n; echo 'foo.bar' | grep -F . ; grep -n 20 n; printf 'A\nb\n' | grep -i a; grep -q zzz n; echo $?
grep -o '[0-9]$' n | sort | uniq -c | sort -rn | head -n 3
printf 'b 2\na 10\nc 1\n' >t; sort t; sort -k2 -n t; sort -r t; printf '3\n1\n3\n' | sort -u
printf 'x\nx\ny\n' | uniq -c; printf 'x\nx\ny\n' | uniq -d
cut -d' ' -f2 t; cut -c1 t; echo abcdef | cut -c2-4; paste -d, t t; echo a:b:c | tr ':' '\n'; echo hello | tr a-y b-z; echo aabbcc | tr -s a-c; echo a1b2 | tr -d 0-9
rev t; tac t; nl t; fold -w 3 n | head -n 3; expand t | od -c | head -n 2; printf 'a\tb\n' | expand -t 4; printf 'a\tb\n' | unexpand
wc n t; wc -L t; printf 'no newline' | wc -lwc
cmp t t && echo same; sed 's/a/z/' t >u; cmp t u; diff t u; diff -u t u | tail -n +3
diff -u t u >p; patch -s t p && cmp t u && echo patched
printf 'one\ntwo\n' >e; printf '1s/one/1/\n$a\nthree\n.\nw\nq\n' | ed -s e; cat e
printf 'hello\000world' | od -An -tx1; echo hi | hexdump -C; echo hi | xxd; echo hi | xxd | xxd -r; printf '\001\377' | od -tu1 -An
echo 'some text' | md5sum; echo 'some text' | sha1sum; echo 'some text' | sha256sum; echo 'some text' | sha512sum | cut -c1-20; echo 'some text' | cksum; echo 'some text' | base64 | base64 -d; echo text | uuencode name | head -n 2; echo abc | crc32 2>/dev/null || echo abc | sum
expr 3 + 4 \* 2; expr length hello; expr match abc123 '[a-z]*'; expr 5 \> 3; echo '2^10; scale=3; 10/3' | bc; echo '5 3 * p' | dc; factor 1001; seq -s, 1 3 10; seq -w 8 11
xargs -n 2 echo <n | tail -n 2; echo 'a b c' | xargs -I{} echo '<{}>'; seq 5 | xargs -n1 sh -c 'echo got $0' | tail -n 1
echo 'line' | tee a b >/dev/null; cat a b; strings -n 4 /bin/busybox | grep -c '^BusyBox v' ; comm 2>/dev/null; split -l 7 n part; ls part*; cat part* | cmp - n && echo whole
dos2unix n; unix2dos n; od -c n | head -n 1; dos2unix n; od -c n | head -n 1
printf 'a b\n' | read -r x y 2>/dev/null; yes abc | head -c 10000 | wc -c; shuf -i 1-50 | sort -n | md5sum
cal 2 2000 | head -n 3; date -u -d @1000000000 '+%F %T %j %a'; date -u -d '2001-02-03 04:05:06' +%s; ascii 2>/dev/null | head -n 1 | cut -c1-3
