#!/usr/bin/env python3
"""The line to a real sshd cut in the middle of a picture, again and again; what it takes to be back, and what was lost.

    cargo build --release && python3 benches/ssh/cuts.py target/release/flux-tui [CUTS]

A studio with --host over a private sshd on loopback (private.py). In each round a picture of 120 steps is drawn, the
sshd process that carries the line is killed with SIGKILL at a random moment, the studio counts down and comes back by
itself (every second time by F5), shows the picture that is still being drawn, and the picture is finished. At the end
every picture is in the library there once, and every file is whole.
"""
import glob, json, random, statistics, subprocess, sys, time

from private import Place, Screen, program

CUTS = int(sys.argv[2]) if len(sys.argv) > 2 else 20


def main():
    place = Place(program())
    screen = Screen(place, "--host", place.host)
    try:
        screen.see("Nothing to set up")
        screen.keys("-l", "a red apple, 3d")
        screen.keys("Tab", "1", "2", "0")  # the parameters open at the steps
        worker = place.status()["worker"]["pid"]
        back, steps = {"by itself": [], "by F5": []}, []
        for cut in range(1, CUTS + 1):
            screen.keys("Enter")
            screen.see("drawing ")
            time.sleep(random.uniform(0.1, 1.5))
            stage = (place.status()["running"] or [{"progress": {"stage": {}}}])[0]["progress"]["stage"]
            steps.append(stage["Drawing"]["step"] if "Drawing" in stage else None)
            killed, begun = place.cut(), time.monotonic()
            assert killed, "nothing carried the line"
            screen.see("next try in")
            by = "by F5" if cut % 2 == 0 else "by itself"
            if by == "by F5":
                screen.keys("F5")
            screen.see("drawing ", f"History {cut}")
            back[by].append(time.monotonic() - begun)
            screen.see(f"History {cut}")
            screen.see("ready")
        status = place.status()
        files = glob.glob(f"{place.far}/.local/share/flux-tui/pictures/*/*")
        whole = [json.loads(place.run(place.far, "show", "--json", path)) for path in files]
        assert status["worker"]["pid"] == worker, "the worker is another"
        assert status["pictures"] == len(files) == len(whole) == CUTS, (status["pictures"], len(files), CUTS)
        assert status["queued"] == 0 and not status["running"], status
        assert len({picture["recipe"]["seed"] for picture in whole}) == CUTS, "a picture is there twice"
        version = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.strip()
        print(f"{version}; {CUTS} cuts, each in the middle of a picture of 120 steps (at step {steps})")
        print(f"{len(files)} pictures in the library there, each once, each file whole; the same worker throughout")
        for by, times in back.items():
            if times:
                print(f"from the cut to the picture on the screen again, {by}: median {statistics.median(times):.2f} s, "
                      f"{min(times):.2f} to {max(times):.2f} s")
        screen.keys("C-c")
    finally:
        screen.end()
        place.end()


if __name__ == "__main__":
    main()
