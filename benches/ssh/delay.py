#!/usr/bin/env python3
"""Key to screen over a line with 200 ms of round trip and 5 % loss, on both ways to use a machine far away.

    cargo build --release && sudo python3 benches/ssh/delay.py target/release/flux-tui

Two network namespaces with a TUN device each; between them this program carries every packet 100 ms late and drops one
of twenty, each way. (`tc netem` does the same where the kernel has it; this works without.) A private sshd is in one
(private.py). In the other:
- `--host`: the studio here, the worker there. The echo is local.
- `ssh -t`: the studio there, in a terminal over ssh. The echo takes a round trip, and more when a packet is lost.
Keys are timed one by one in a PTY of 120x40, at rest and while a picture of 200 steps is drawn, from the write of the
key to the read of the bytes that show it. Needs root, /dev/net/tun and iproute2.
"""
import ctypes, fcntl, heapq, os, pty, random, select, statistics, struct, subprocess, sys, termios, threading, time

from private import Place, program

DELAY, LOSS = 0.100, 0.05  # one way, each way
KEYS = int(sys.argv[2]) if len(sys.argv) > 2 else 60
NEAR, FAR = f"near-{os.getpid()}", f"far-{os.getpid()}"
ADDRESSES = {NEAR: "10.77.0.1", FAR: "10.77.0.2"}


def tun(space):
    """The packets of a new network namespace, as a descriptor."""
    subprocess.run(["ip", "netns", "add", space], check=True)
    libc, ours = ctypes.CDLL(None, use_errno=True), os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/run/netns/{space}", os.O_RDONLY)
    try:
        if libc.setns(theirs, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", b"line", 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
    finally:
        libc.setns(ours, 0x40000000)
    for command in (["addr", "add", f"{ADDRESSES[space]}/24", "dev", "line"], ["link", "set", "line", "up"], ["link", "set", "lo", "up"]):
        subprocess.run(["ip", "-n", space, *command], check=True)
    return device


def carry(one, two, ended):
    """Every packet late, some never."""
    other, waiting, number = {one: two, two: one}, [], 0
    while not ended.is_set():
        due = waiting[0][0] - time.monotonic() if waiting else 0.2
        for device in select.select([one, two], [], [], max(0, due))[0]:
            packet = os.read(device, 65536)
            if random.random() >= LOSS:
                number += 1
                heapq.heappush(waiting, (time.monotonic() + DELAY, number, other[device], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)


class Typed:
    """A program in a terminal, in the near namespace."""

    def __init__(self, place, *command):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        env = {"HOME": place.near, "TERM": "xterm-256color", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        command = ["ip", "netns", "exec", NEAR, *command]
        self.child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)

    def until(self, wanted, seconds=60):
        data, end = b"", time.perf_counter() + seconds
        while wanted not in data:
            if not select.select([self.master], [], [], max(0, end - time.perf_counter()))[0]:
                raise SystemExit(f"{wanted!r} did not come; last: {data[-600:]!r}")
            data += os.read(self.master, 65536)
        return time.perf_counter()

    def drain(self, quiet):
        try:
            while select.select([self.master], [], [], quiet)[0]:
                os.read(self.master, 65536)
        except OSError:  # how Linux says that the other side is gone
            pass

    def echoes(self):
        times = []
        for at in range(KEYS):
            letter = "QWYUJK"[at % 6].encode()  # letters that nothing else on the screen is redrawn with
            time.sleep(0.1)
            self.drain(0)
            begun = time.perf_counter()
            os.write(self.master, letter)
            times.append(1e3 * (self.until(letter) - begun))
        return times

    def measure(self, name):
        begun = time.perf_counter()
        ready = self.until(b"ready") - begun
        self.drain(1)
        rest = self.echoes()
        os.write(self.master, b"\t200\r")
        self.until(b"drawing")
        os.write(self.master, b"\x1b[Z")
        time.sleep(0.5)
        drawing = self.echoes()
        os.write(self.master, b"\x03")
        self.drain(2)
        self.child.wait(20)
        print(f"{name}: ready after {ready:.1f} s")
        for what, times in (("at rest", rest), ("while a picture is drawn", drawing)):
            times = sorted(times)
            goal = 2e3 * DELAY + 50
            print(f"  key to screen {what}, {len(times)} keys: median {statistics.median(times):.1f} ms, 95 % within "
                  f"{times[int(0.95 * (len(times) - 1))]:.1f} ms, at most {times[-1]:.1f} ms; "
                  f"{sum(it < goal for it in times)} of {len(times)} within {goal:.0f} ms", flush=True)


def main():
    path, ended, place = program(), threading.Event(), None
    try:
        devices = [tun(space) for space in (NEAR, FAR)]
        line = threading.Thread(target=carry, args=(*devices, ended), daemon=True)
        line.start()
        place = Place(path, ADDRESSES[FAR], ["ip", "netns", "exec", FAR])
        print(f"{2e3 * DELAY:.0f} ms of round trip, {100 * LOSS:.0f} % loss each way")
        place.run(place.far, "queue", "resume")  # starts the worker
        Typed(place, place.program, "--host", place.host).measure("--host, the studio here and the worker there")
        place.run(place.far, "queue", "cancel", "1")
        Typed(place, *place.ssh, "-t", place.host, place.there).measure("ssh -t, the studio there")
    finally:
        if place:
            place.end()
        ended.set()
        for space in (NEAR, FAR):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
