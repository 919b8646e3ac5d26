# The standard library's ways into the kernel, without sockets.
import array, ctypes, errno, fcntl, gc, glob, grp, hashlib, io, json, mmap, multiprocessing, os, pathlib, platform, pwd
import queue, random, re, resource, select, shutil, signal, sqlite3, stat, struct, subprocess, sys, tempfile, termios
import threading, time, zlib

def show(*words): print(*words, flush=True)

def attempt(what, call, *arguments):
    try: show(what, call(*arguments))
    except OSError as error: show(what, errno.errorcode[error.errno])

show(sys.version_info[:2], platform.machine(), os.getuid(), pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name)

# Files.
os.mkdir("d"); pathlib.Path("d/file").write_text("text\n" * 1000)
show(os.stat("d/file").st_size, sorted(os.listdir(".")), [entry.is_dir() for entry in os.scandir(".")])
with open("d/file", "r+b") as file:
    file.seek(2500); file.write(b"X" * 10); file.truncate(4000)
    show(os.pread(file.fileno(), 12, 2499), os.fstat(file.fileno()).st_size)
    show(os.preadv(file.fileno(), [bytearray(3), bytearray(4)], 0), os.pwritev(file.fileno(), [b"ab", b"cd"], 10))
    attempt("nowait", os.preadv, file.fileno(), [bytearray(3)], 0, os.RWF_NOWAIT)
    attempt("sync", os.pwritev, file.fileno(), [b"ab"], 0, os.RWF_DSYNC)
    attempt("append", os.pwritev, file.fileno(), [b"ab"], 0, getattr(os, "RWF_APPEND", 16))
    os.posix_fallocate(file.fileno(), 0, 8192); show(os.fstat(file.fileno()).st_size)
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
os.symlink("file", "d/link"); os.link("d/file", "d/hard"); os.rename("d/hard", "d/other"); os.chmod("d/other", 0o4755)
show(oct(os.stat("d/other").st_mode), os.readlink("d/link"), os.access("d/file", os.X_OK), os.stat("d/file").st_nlink)
os.utime("d/file", ns=(10**18 + 5, 10**18 + 7)); show(os.stat("d/file").st_mtime_ns)
shutil.copytree("d", "e", symlinks=True); shutil.copyfile("d/file", "e/copy"); show(sorted(glob.glob("e/*")))
with open("d/file", "rb") as source, open("ranged", "wb") as target:
    attempt("copy_file_range", os.copy_file_range, source.fileno(), target.fileno(), 3000, 5)
    attempt("sendfile", os.sendfile, target.fileno(), source.fileno(), 0, 3000)
with open("sparse", "wb") as file:
    file.truncate(1 << 20); file.seek(500000); file.write(b"data")
    show(file.seek(0, os.SEEK_DATA), file.seek(0, os.SEEK_HOLE), file.seek(499712, os.SEEK_HOLE))
show(os.listxattr("d/file"))
with tempfile.TemporaryFile() as file: file.write(b"x"); show(file.tell())
with tempfile.TemporaryDirectory() as folder: show(os.path.isdir(folder))
show(shutil.disk_usage("/").total > 0, os.statvfs("/").f_bsize); shutil.rmtree("e"); show(os.path.exists("e"))

# Locks.
with open("lock", "w") as one, open("lock", "w") as two:
    fcntl.flock(one, fcntl.LOCK_EX)
    attempt("flock", fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(one, fcntl.LOCK_UN); attempt("flock", fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(one, fcntl.LOCK_EX, 10)
    child = os.fork()
    if child == 0:
        attempt("lockf in a child", fcntl.lockf, two, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
        attempt("lockf elsewhere", fcntl.lockf, two, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
        os._exit(0)
    os.waitpid(child, 0)

# Memory.
with open("mapped", "w+b") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as memory:
        memory[4096:4100] = b"here"; memory.flush(); file.seek(4096); show(file.read(4), memory.find(b"here"))
        child = os.fork()
        if child == 0: memory[0:5] = b"child"; os._exit(0)
        os.waitpid(child, 0); show(bytes(memory[0:5]))
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory: memory[0] = 88; file.seek(0); show(file.read(1))
memory = mmap.mmap(-1, 1 << 20); memory.madvise(mmap.MADV_DONTNEED); memory.resize(2 << 20); show(len(memory)); memory.close()
descriptor = os.memfd_create("name", os.MFD_ALLOW_SEALING); os.write(descriptor, b"sealed")
fcntl.fcntl(descriptor, 1033, 2 | 4 | 8); show(fcntl.fcntl(descriptor, 1034)); attempt("sealed", os.write, descriptor, b"x")
attempt("shrink", os.ftruncate, descriptor, 1); attempt("grow", os.ftruncate, descriptor, 100)

# Processes.
run = subprocess.run(["sort", "-r"], input=b"1\n2\n3\n", capture_output=True); show(run)
show(subprocess.run("echo out; echo err >&2; exit 4", shell=True, capture_output=True, text=True))
show(subprocess.check_output(["sh", "-c", "cat | tr a-z A-Z"], input="shout", text=True))
try: subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired as late: show("late", late.cmd)
process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
show(process.communicate(b"bytes " * 50000)[0] == b"bytes " * 50000, process.returncode)
process = subprocess.Popen(["sleep", "10"]); process.terminate(); show(process.wait())
try: subprocess.run(["/no/such"])
except FileNotFoundError as error: show(error)
show(os.waitstatus_to_exitcode(os.system("exit 7")), os.popen("echo popen").read())
spawned = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, 0)], setsigmask=[signal.SIGUSR1])
show(os.waitpid(spawned, 0)[1] >> 8)
info = os.fork()
if info == 0: os._exit(12)
result = os.waitid(os.P_PID, info, os.WEXITED); show(result.si_status, result.si_code == os.CLD_EXITED)

def square(number): return number * number
def fill(shared, index): shared[index] = index * 10
def send(q): [q.put(n) for n in range(5)]
if True:
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool: show(pool.map(square, range(10)), sum(pool.imap_unordered(square, range(100))))
    shared = context.Array("i", 4); workers = [context.Process(target=fill, args=(shared, n)) for n in range(4)]
    [worker.start() for worker in workers]; [worker.join() for worker in workers]; show(shared[:], [w.exitcode for w in workers])
    q = context.Queue(); worker = context.Process(target=send, args=(q,)); worker.start(); show([q.get() for _ in range(5)]); worker.join()
    semaphore = context.Semaphore(2); show(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(timeout=0.1))
    one, two = context.Pipe(duplex=False); two.send({"a": [1, 2]}); show(one.recv(), one.poll(0.05))

# Threads.
results = queue.Queue(); lock = threading.Lock(); total = [0]
def work(n):
    for _ in range(1000):
        with lock: total[0] += 1
    results.put(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]; show(total, sorted(results.queue))
event = threading.Event(); show(event.wait(0.05)); threading.Timer(0.05, event.set).start(); show(event.wait(10))
barrier = threading.Barrier(3); waiters = [threading.Thread(target=barrier.wait) for _ in range(2)]; [w.start() for w in waiters]; barrier.wait(); [w.join() for w in waiters]; show("barrier")

# Signals.
seen = []; signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number)); os.kill(os.getpid(), signal.SIGUSR1); show(seen)
signal.signal(signal.SIGALRM, lambda number, frame: seen.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause(); show(seen)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2); show(signal.sigpending(), signal.sigwait([signal.SIGUSR2]))
show(signal.sigtimedwait([signal.SIGUSR2], 0.05)); signal.pthread_kill(threading.get_ident(), signal.SIGUSR1); show(len(seen))
reading, writing = os.pipe2(os.O_NONBLOCK); old = signal.set_wakeup_fd(writing); os.kill(os.getpid(), signal.SIGUSR1); show(os.read(reading, 10) == bytes([signal.SIGUSR1])); signal.set_wakeup_fd(old)

# select.
attempt("nothing", os.read, reading, 1); show(select.select([reading], [writing], [], 0.05)[1] == [writing])
poll = select.poll(); poll.register(reading, select.POLLIN); show(poll.poll(20)); os.write(writing, b"x"); show(poll.poll(1000)[0][1])
show(fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK != 0, fcntl.fcntl(writing, 1032), os.get_inheritable(writing))
one, two = os.pipe(); show(os.splice(reading, two, 10), os.read(one, 10))

# Limits, scheduling, identity.
show(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000, resource.getpagesize())
show(os.getpriority(os.PRIO_PROCESS, 0), os.nice(3), os.sched_getscheduler(0), os.sched_get_priority_max(os.SCHED_FIFO), len(os.sched_getaffinity(0)) > 0)
show(os.sched_rr_get_interval(0) >= 0, os.sched_getparam(0).sched_priority); os.sched_yield()
show(os.getsid(0) > 0, os.getpgid(0) == os.getpgrp(), os.getloadavg()[0] >= 0, os.cpu_count() > 0, len(os.urandom(16)), len(os.getrandom(8, os.GRND_NONBLOCK)))
child = os.fork()
if child == 0:
    os.setgroups([5, 6]); os.setresgid(10, 10, 10); os.setresuid(1000, 1000, 1000); show(os.getresuid(), os.getresgid(), os.getgroups())
    attempt("setuid", os.setuid, 0); attempt("open", open, "/etc/shadow.none"); attempt("root", os.listdir, "/root"); attempt("kill", os.kill, 1, 0); attempt("chroot", os.chroot, "/"); attempt("nice", os.nice, -5)
    os._exit(0)
os.waitpid(child, 0)
show(time.clock_getres(time.CLOCK_MONOTONIC) > 0, time.thread_time() >= 0, time.process_time() > 0, time.clock_gettime(time.CLOCK_BOOTTIME) > 0, time.clock_gettime(time.CLOCK_TAI) > 0)
parent, child = os.openpty(); show(os.isatty(child), termios.tcgetattr(child)[3] & termios.ECHO != 0); os.write(parent, b"line\n"); show(os.read(child, 10), os.get_terminal_size(child))
libc = ctypes.CDLL(None); show(libc.getpid() == os.getpid(), ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x + 1)(41))
database = sqlite3.connect("base.db"); database.execute("create table t (a, b)"); database.executemany("insert into t values (?, ?)", [(n, n * n) for n in range(100)]); database.commit(); show(database.execute("select sum(b) from t").fetchone())
show(hashlib.sha256(zlib.compress(b"x" * 100000)).hexdigest()[:16], json.dumps({"a": [1, None]}), re.findall(r"\d+", "1 22 333"), struct.pack("<iq", 1, 2))
