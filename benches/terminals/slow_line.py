#!/usr/bin/env python3
"""How long a key takes to be seen over a line of 1 Mbit/s while a picture is drawn.

    python3 benches/terminals/slow_line.py PROGRAM [KEYS [STEPS [WAY ...]]]

The program runs in a PTY of 120x40 that is read at 125,000 bytes a second and no faster, by a pretended terminal that
answers as kitty 0.35 or as one with sixel does; each answer comes 20 ms after its question was read. Keys are typed at
moments by chance while eight pictures of so many steps (200, the most) are drawn one after the other, each key timed from its
write to the read of the letter outside of any picture. For each way of drawing: the latency, the bytes a second, how many previews came, and how many bytes
of the last finished picture.
"""
import fcntl, glob, json, os, pty, random, select, shutil, statistics, struct, subprocess, sys, tempfile, termios, threading, time

PROGRAM = os.path.abspath(sys.argv[1])
KEYS = int(sys.argv[2]) if len(sys.argv) > 2 else 80
STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 200
RATE, TRIP = 125_000, 0.020
PICTURES = 8
ANSWERS = {
    "kitty": b"\x1bP>|kitty(0.35.2)\x1b\\\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c",
    "sixel": b"\x1b[6;20;10t\x1b[?62;4;22c",
    "halfblocks": b"\x1b[6;20;10t\x1b[?62;22c",
}
PICTURE = {"kitty": b"\x1b_Ga=T", "sixel": b"\x1bP", "halfblocks": None}


class Line:
    """Reads at the rate, answers, and notes when what was wanted has come."""

    def __init__(self, master, way):
        self.master, self.way, self.bytes = master, way, bytearray()
        # What is no picture: base64 and sixels hold any letter.
        self.text, self.rest = bytearray(), b""
        self.changed, self.ended = threading.Condition(), False
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        due = time.monotonic()
        asked = 0
        while not self.ended:
            try:
                piece = os.read(self.master, 512)
            except OSError:  # how Linux says that the other side is gone
                return
            # What comes after a pause is not owed the time of the pause.
            due = max(due, time.monotonic()) + len(piece) / RATE
            time.sleep(max(0, due - time.monotonic()))
            with self.changed:
                self.bytes += piece
                self.keep_text(piece)
                self.changed.notify_all()
            for question, answer in ((b"\x1b[c", ANSWERS[self.way]), (b"\x1b[5n", b"\x1b[0n")):
                start = max(0, asked - len(question) + 1)
                for _ in range(self.bytes.count(question, start)):
                    threading.Timer(TRIP, os.write, (self.master, answer)).start()
            asked = len(self.bytes)

    def keep_text(self, piece):
        """Keeps what stands outside of APC and DCS."""
        self.rest += piece
        while True:
            begins = [at for at in (self.rest.find(b"\x1b_"), self.rest.find(b"\x1bP")) if at >= 0]
            if not begins:
                whole = len(self.rest) - self.rest.endswith(b"\x1b")
                self.text += self.rest[:whole]
                self.rest = self.rest[whole:]
                return
            self.text += self.rest[: min(begins)]
            self.rest = self.rest[min(begins):]
            end = self.rest.find(b"\x1b\\", 2)
            if end < 0:
                return
            self.rest = self.rest[end + 2:]

    def until(self, wanted, start, seconds=90):
        """When that has come as text behind `start`."""
        end = time.monotonic() + seconds
        with self.changed:
            while self.text.find(wanted, start) < 0:
                if not self.changed.wait(max(0, end - time.monotonic())):
                    raise SystemExit(f"{self.way}: {wanted!r} did not come; last: {bytes(self.bytes[-300:])!r}")
        return time.monotonic()


def measure(way, home):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    env = {"HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PATH": os.environ["PATH"],
           "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
    child = subprocess.Popen([PROGRAM], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    line = Line(master, way)
    line.until(b"ready", 0)
    time.sleep(1)
    os.write(master, f"fox\t{STEPS}\r".encode())
    for _ in range(PICTURES - 1):
        time.sleep(0.3)
        os.write(master, b"\r")
    # A word may come in two pieces; the first preview does not.
    shown = (b"drawing", PICTURE[way] or b"\xe2\x96\x80", b"\xe2\x96\x80")
    end = time.monotonic() + 90
    while not any(mark in line.bytes for mark in shown):
        if time.monotonic() > end:
            raise SystemExit(f"{way}: nothing is drawn; last: {bytes(line.bytes[-300:])!r}")
        time.sleep(0.05)
    os.write(master, b"\x1b[Z")
    time.sleep(3)
    begun, start, times = time.monotonic(), len(line.bytes), []
    for at in range(KEYS):
        time.sleep(random.uniform(0.05, 0.3))
        letter, before = "QWYUJK"[at % 6].encode(), len(line.text)
        typed = time.monotonic()
        os.write(master, letter)
        times.append(1e3 * (line.until(letter, before) - typed))
    took, drawn = time.monotonic() - begun, bytes(line.bytes[start:])
    # The caption is written letter by letter as it differs: the files tell that the pictures are finished.
    pictures = lambda: len(glob.glob(home + "/.local/share/flux-tui/pictures/**/*.png", recursive=True))
    drawing = pictures() < PICTURES
    while pictures() < PICTURES:
        time.sleep(0.2)
    before, quiet = len(line.bytes), -1
    while quiet != len(line.bytes):
        quiet = len(line.bytes)
        time.sleep(1.5)
    mark = PICTURE[way]
    times.sort()
    os.write(master, b"\x03")
    child.wait(20)
    line.ended = True
    os.close(master)
    return {
        "way": way, "median_ms": round(statistics.median(times), 1), "p95_ms": round(times[int(0.95 * (len(times) - 1))], 1),
        "max_ms": round(times[-1], 1), "kB_a_second": round(len(drawn) / took / 1e3, 1),
        "previews_a_second": round(drawn.count(mark) / took, 2) if mark else None, "finished_bytes": len(line.bytes) - before,
        "drawing_to_the_last_key": drawing,
    }


def main():
    random.seed(7)
    for way in sys.argv[4:] or ANSWERS:
        home = tempfile.mkdtemp()
        print(json.dumps(measure(way, home)), flush=True)
        subprocess.run([PROGRAM, "worker", "stop"], env={"HOME": home, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
