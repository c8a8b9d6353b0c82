#!/usr/bin/env python3
"""How long a library of many pictures takes: to open it, to find pictures in it, and to show it in the studio.

    cargo build --release && python3 benches/library.py target/release/flux-tui [ROWS]

An empty home gets a library of ROWS (10,000) pictures by SQLite alone, their files missing as after a move. Each time is
the median of 15, in milliseconds, of a whole process; `start` is that of one that does nothing. Without a worker the
command opens the library, checks it, answers and closes it; with one it only asks. The studio is timed from its start, a
worker being there or not, until the number of pictures is on the screen. One JSON line.
"""
import fcntl, hashlib, json, os, pty, random, select, sqlite3, statistics, struct, subprocess, sys, tempfile, termios, time

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/flux-tui")
ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
WORDS = """a the in on of with red blue green golden misty neon quiet ancient fox cat courier lighthouse harbour mountain
forest alley bicycle portrait watercolour photograph cinematic light rain snow fog evening morning shallow depth field
detailed 35mm film grain soft volumetric reflections glass marble 红苹果 水墨 山水 雨夜 霓虹 城市 狐狸""".split()


def run(home, *arguments):
    env = {"HOME": home, "PATH": os.environ["PATH"]}
    begun = time.perf_counter()
    done = subprocess.run([PROGRAM, *arguments], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stderr}")
    return 1000 * (time.perf_counter() - begun), done.stdout


def median(home, *arguments):
    return round(statistics.median(run(home, *arguments)[0] for _ in range(15)), 1)


def fill(home):
    run(home, "library", "list")  # makes the library
    db = sqlite3.connect(os.path.join(home, ".local/share/flux-tui/library.sqlite3"))
    random.seed(7)
    for number in range(1, ROWS + 1):
        words = random.choices(WORDS, k=random.randint(8, 60)) + ([f"unique{number}"] if number % 100 == 0 else [])
        prompt = " ".join(words)
        key = hashlib.sha256(prompt.encode()).digest()
        db.execute(
            "INSERT INTO jobs (prompt, model, width, height, steps, guidance, seed, first_seed, count, state, accepted_at,"
            " ended_at, rank, prompt_key) VALUES (?, 'dev', 1024, 1024, 20, 3.5, ?, ?, 1, 'done', ?, ?, ?, ?)",
            (prompt, number, number, number * 60_000, number * 60_000, number, key))
        db.execute(
            "INSERT INTO pictures (job, idx, seed, precision, cuts, load, encode, denoise, decode, path, finished_at, rating)"
            " VALUES (?, 0, ?, 'fp8', '[]', 0, 0.1, 2.5, 0.1, ?, ?, ?)",
            (number, number, f"2026-01-01/{number}.png", number * 60_000, random.choice([0, 0, 0, 3, 5])))
        if number % 10 == 0:
            db.execute("INSERT INTO tags VALUES (?, ?)", (number, random.choice(["keep", "print", "水墨"])))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def studio(home):
    """From the start until the number of pictures is on the screen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    env = {"HOME": home, "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
    begun = time.perf_counter()
    child = subprocess.Popen([PROGRAM], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    data, wanted = b"", str(ROWS).encode()
    while wanted not in data:
        if not select.select([master], [], [], 20)[0]:
            raise SystemExit(f"{wanted!r} did not come; last: {data[-400:]!r}")
        data += os.read(master, 65536)
    took = 1000 * (time.perf_counter() - begun)
    os.write(master, b"\x03")
    child.wait()
    os.close(master)
    return round(took, 1)


QUESTIONS = {
    "first page": ("library", "list", "--limit", "100", "--json"),
    "one in a hundred": ("library", "search", "unique", "--json"),
    "a common word": ("library", "search", "lighthouse", "--json"),
    "two letters": ("library", "search", "狐狸", "--json"),
    "two words, a tag, a rating": ("library", "search", "fox rain", "--tag", "keep", "--rating", "3", "--json"),
    "nothing": ("library", "search", "nosuchword", "--json"),
    "two letters, nothing": ("library", "search", "zq", "--json"),
}

with tempfile.TemporaryDirectory() as home:
    fill(home)
    report = {"rows": ROWS, "start": median(home, "--version")}
    report["without a worker"] = {name: median(home, *asked) for name, asked in QUESTIONS.items()}
    cold = []
    for _ in range(5):
        cold.append(studio(home))
        run(home, "worker", "stop")
    report["studio and worker"] = statistics.median(cold)
    run(home, "queue", "pause")  # starts a worker
    report["with a worker"] = {name: median(home, *asked) for name, asked in QUESTIONS.items()}
    report["studio, the worker being there"] = statistics.median(studio(home) for _ in range(5))
    run(home, "worker", "stop")
    print(json.dumps(report, ensure_ascii=False))
