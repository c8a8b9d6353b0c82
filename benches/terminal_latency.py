#!/usr/bin/env python3
"""How long a person waits for the studio: from start to the first frame, from a key to its echo.

    cargo build --release && python3 benches/terminal_latency.py target/release/flux-tui

Runs the program in a PTY of 120x40 that answers no query, in an empty home. Keys are timed twice: at rest and while
a picture of 200 steps is drawn. One JSON line; times in milliseconds, from the write of the key to the read of the
bytes that show it. What the terminal itself takes to draw comes on top.
"""
import fcntl, json, os, pty, select, shutil, statistics, struct, subprocess, sys, tempfile, termios, time

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/flux-tui")


def start(home):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    env = {"HOME": home, "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
    begun = time.perf_counter()
    child = subprocess.Popen([PROGRAM], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    return child, master, begun


def read_until(master, wanted, seconds=20):
    """Everything read until `wanted` is in it, and when that was."""
    data, end = b"", time.perf_counter() + seconds
    while wanted not in data:
        if not select.select([master], [], [], max(0, end - time.perf_counter()))[0]:
            raise SystemExit(f"{wanted!r} did not come; last: {data[-400:]!r}")
        data += os.read(master, 65536)
    return data, time.perf_counter()


def drain(master, quiet=0.3):
    try:
        while select.select([master], [], [], quiet)[0]:
            os.read(master, 65536)
    except OSError:  # how Linux says that the other side is gone
        pass


def echoes(master, letters, pause):
    """Types letters one by one; each is shown as itself at the cursor."""
    times = []
    for letter in letters:
        time.sleep(pause)
        while select.select([master], [], [], 0)[0]:
            os.read(master, 65536)
        begun = time.perf_counter()
        os.write(master, letter.encode())
        times.append(1e3 * (read_until(master, letter.encode())[1] - begun))
    return times


def row(times):
    times = sorted(times)
    return {"median": round(statistics.median(times), 2), "p95": round(times[int(0.95 * (len(times) - 1))], 2), "max": round(times[-1], 2)}


def main():
    home = tempfile.mkdtemp()
    first = []
    for _ in range(10):
        child, master, begun = start(home)
        first.append(1e3 * (read_until(master, b"Prompt")[1] - begun))
        read_until(master, b"ready")
        os.write(master, b"\x03")
        drain(master, 0.1)
        child.wait(10)
        os.close(master)
    child, master, _ = start(home)
    read_until(master, b"ready")
    drain(master)
    letters = "QWYUJKQWYUJKQWYUJKQWYUJK"  # letters that nothing else on the screen is redrawn with
    rest = echoes(master, letters, 0.05)
    os.write(master, b"\t200\r")
    read_until(master, b"drawing")
    os.write(master, b"\x1b[Z")
    drawing = echoes(master, letters, 0.05)
    os.write(master, b"\x1b")
    read_until(master, b"ready")
    os.write(master, b"\x03")
    drain(master, 0.1)
    child.wait(10)
    print(json.dumps({"first_frame_ms": row(first), "key_at_rest_ms": row(rest), "key_while_drawing_ms": row(drawing)}))
    subprocess.run([PROGRAM, "worker", "stop"], env={"HOME": home, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, check=False)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
