# What the dynamic linkers do: glibc's by itself, musl's, and programs that are not what they should be.
loader=/lib64/ld-linux-x86-64.so.2
$loader --version | head -n 1; $loader /bin/echo by hand; $loader --list /bin/bash | wc -l; $loader /no/such 2>&1; echo $?
/lib/ld-musl-x86_64.so.1 2>&1 | head -n 1; /lib/ld-musl-x86_64.so.1 --list /bin/true 2>&1 | grep -c musl
LD_SHOW_AUXV=1 /bin/true | grep -E '^AT_(PAGESZ|CLKTCK|PHENT|PHNUM|FLAGS|UID|EUID|GID|EGID|SECURE|EXECFN|PLATFORM)'
LD_SHOW_AUXV=1 /bin/true | sed 's/:.*//' | sort | tr '\n' ' '; echo
LD_LIBRARY_PATH=/nowhere LD_PRELOAD=/no/such.so /bin/echo preloaded 2>&1; LD_BIND_NOW=1 /bin/echo bound; LD_TRACE_LOADED_OBJECTS=1 /bin/cat | wc -l
# The addresses differ from run to run.
for file in /bin/cat libc ld-linux stack heap vdso; do
    for i in 1 2 3 4; do grep -m 1 "$file" /proc/self/maps | cut -d- -f1; done | sort -u | wc -l
done
cut -d' ' -f2,6- /proc/self/maps | tr -s ' ' | grep -v 'heap\|^rw-p $' | uniq
cp /bin/true program; chmod +x program
for size in 100 1000 5000 20000; do head -c $size /bin/true >cut; chmod +x cut; ./cut 2>&1 | sed 's/cut: line [0-9]*//;s/ *[0-9]* Seg/Seg/'; echo ${PIPESTATUS[0]}; done
sed 's|/lib64/ld-linux-x86-64.so.2|/lib64/ld-linux-x86-64.so.9|' program >other; chmod +x other; ./other 2>&1; echo $?
sed 's|/lib64/ld-linux-x86-64.so.2|/../../../etc/passwd\x00x86-64|' program >other; ./other 2>&1; echo $?
sed 's|libc.so.6|libd.so.6|' program >other; ./other 2>&1; echo $?
(exec 9>>program; ./program 2>&1; echo $?); ./program; echo $?; ln -s program link; ./link; echo $?; chmod 4755 program; ./program; echo $?
