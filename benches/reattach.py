#!/usr/bin/env python3
"""How long a studio that comes back takes until it shows the running picture: from its start to the first half-blocks.

    cargo build --release && python3 benches/reattach.py target/release/flux-tui

A job of many steps is queued in an empty home; then the studio is opened and left five times in a PTY of 120x40 while it
is drawn. One JSON line, milliseconds.
"""
import fcntl, json, os, pty, select, shutil, struct, subprocess, sys, tempfile, termios, time

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/flux-tui")
BLOCK = "▀".encode()


def command(home, *arguments):
    env = {"HOME": home, "PATH": os.environ["PATH"]}
    return subprocess.run([PROGRAM, *arguments], env=env, capture_output=True, text=True, check=True).stdout


def opened(home):
    """Seconds until a picture is seen; the studio is left then."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    env = {"HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PATH": os.environ["PATH"]}
    begun = time.perf_counter()
    child = subprocess.Popen([PROGRAM, "--graphics", "halfblocks"], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    data = b""
    while BLOCK not in data:
        if not select.select([master], [], [], 20)[0]:
            raise SystemExit(f"no picture came; last: {data[-300:]!r}")
        data += os.read(master, 65536)
    took = time.perf_counter() - begun
    os.write(master, b"\x03")
    try:
        while os.read(master, 65536):
            pass
    except OSError:  # how Linux says that the other side is gone
        pass
    child.wait()
    os.close(master)
    return took


home = tempfile.mkdtemp()
try:
    command(home, "queue", "add", "a red apple, 3d", "--steps", "200", "--width", "384", "--height", "384")
    while not any("Drawing" in it["progress"]["stage"] for it in json.loads(command(home, "worker", "status", "--json"))["running"]):
        pass
    times = [round(1e3 * opened(home), 1) for _ in range(5)]
    still = json.loads(command(home, "worker", "status", "--json"))["running"]
    print(json.dumps({"milliseconds": times, "still drawn": bool(still)}))
finally:
    command(home, "worker", "stop")
    shutil.rmtree(home)
