"""A private sshd with keys of its own, two homes, and a studio in tmux whose screen can be read. For cuts.py and delay.py.

Needs OpenSSH's server (`apt install openssh-server`, which need not run) and tmux. Nothing of the machine's own sshd, its
keys or its port is used or changed; all of it is in one temporary folder.
"""
import getpass, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


def need(what, path):
    if not path:
        raise SystemExit(f"{what} is not installed: it is needed for this measurement, and nothing was done")
    return path


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Place:
    """Two homes and a server in a folder; `inside` is a command that the server is started with, for a network of its own."""

    def __init__(self, program, address="127.0.0.1", inside=()):
        need("sshd (openssh-server)", SSHD)
        need("ssh-keygen (openssh-client)", shutil.which("ssh-keygen"))
        self.program = os.path.abspath(program)
        self.folder = tempfile.mkdtemp(prefix="flux-tui-ssh-")
        self.near, self.far = (os.path.join(self.folder, name) for name in ("near", "far"))
        self.address, self.port = address, free_port() if not inside else 2222
        self.host = f"{getpass.getuser()}@{address}"
        os.makedirs(os.path.join(self.near, ".config/flux-tui"))
        os.makedirs(self.far)
        for key in ("host", "person"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(key)], check=True)
        shutil.copy(self.path("person.pub"), self.path("authorized"))
        with open(self.path("host.pub")) as key, open(self.path("known"), "w") as known:
            known.write(f"[{address}]:{self.port} {key.read()}")
        self.ssh = ["ssh", "-F", "none", "-i", self.path("person"), "-p", str(self.port), "-o", "IdentitiesOnly=yes",
                    "-o", f"UserKnownHostsFile={self.path('known')}", "-o", "StrictHostKeyChecking=yes"]
        self.there = f"env HOME={self.far} {self.program}"
        with open(os.path.join(self.near, ".config/flux-tui/config.toml"), "w") as config:
            config.write(f"[host]\ncommand = {json.dumps(self.ssh)}\nprogram = {json.dumps(self.there)}\n")
        self.serve(inside)

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, inside):
        lines = [f"Port {self.port}", f"ListenAddress {self.address}", f"HostKey {self.path('host')}",
                 f"AuthorizedKeysFile {self.path('authorized')}", f"PidFile {self.path('pid')}", "StrictModes no",
                 "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password"]
        with open(self.path("sshd_config"), "w") as config:
            config.write("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it confines itself
        log = open(self.path("sshd.log"), "w")
        self.server = subprocess.Popen([*inside, SSHD, "-D", "-e", "-f", self.path("sshd_config")], stderr=log)
        until(lambda: os.path.exists(self.path("pid")), "sshd to listen", lambda: open(self.path("sshd.log")).read())

    def sessions(self):
        """The processes of sshd that carry connections."""
        with open(self.path("pid")) as file:
            found, below = [], [int(file.read())]
        while below:
            with subprocess.Popen(["pgrep", "-P", str(below.pop())], stdout=subprocess.PIPE, text=True) as children:
                for child in map(int, children.stdout.read().split()):
                    below.append(child)
                    with open(f"/proc/{child}/comm") as name:
                        found += [child] if name.read().strip() == "sshd" else []
        return found

    def cut(self):
        """Kills what carries the connections, as a machine that disappears does; the listener stays."""
        carrying = self.sessions()
        for process in carrying:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass  # its parent took it along
        return len(carrying)

    def run(self, home, *arguments):
        env = {"HOME": home, "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        done = subprocess.run([self.program, *arguments], env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.stderr}")
        return done.stdout

    def status(self):
        return json.loads(self.run(self.far, "worker", "status", "--json"))

    def end(self):
        try:
            self.run(self.far, "worker", "stop")
        finally:
            self.server.terminate()
            self.server.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


def until(wanted, what, screen=lambda: "", seconds=120):
    """Waits for something and gives it back."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = wanted()
        if found:
            return found
        time.sleep(0.01)
    raise SystemExit(f"no {what} within {seconds} s:\n{screen()}")


class Screen:
    """A program in tmux."""

    def __init__(self, place, *arguments):
        need("tmux", shutil.which("tmux"))
        self.tmux = ["tmux", "-L", f"flux-tui-{os.getpid()}", "-f", "/dev/null"]
        command = ["env", "-u", "TMUX", f"HOME={place.near}", place.program, *arguments]
        size = ["-x", "120", "-y", "40"]
        subprocess.run([*self.tmux, "new-session", "-d", *size, *command], check=True, env={**os.environ, "LANG": "C.UTF-8"})

    def text(self):
        shown = subprocess.run([*self.tmux, "capture-pane", "-p"], capture_output=True, text=True)
        return shown.stdout

    def see(self, *words, seconds=120):
        return until(lambda: next((word for word in words if word in self.text()), None), words, self.text, seconds)

    def keys(self, *keys):
        subprocess.run([*self.tmux, "send-keys", *keys], check=True)

    def end(self):
        subprocess.run([*self.tmux, "kill-server"], stderr=subprocess.DEVNULL, check=False)


def program():
    path = sys.argv[1] if len(sys.argv) > 1 else "target/release/flux-tui"
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is no program: build it, or name another as the first argument")
    return path
