#!/usr/bin/env python3
"""Runs our cases and the peers' in turn and prints the medians and the median of the pairwise ratios.

    run.py OURS PROGRAM PEER_PYTHON PEER_CANDLE PEER_BURN OUT.jsonl [GROUP…]

OURS is the benchmark's program, PROGRAM is candlewick itself, for the cases that are whole programs (group `end`).
"""
import json
import pathlib
import statistics
import subprocess
import sys
import time

PAIRS = 5
WARM_UP = 1
# Seconds before each run: threads of the other side that wait by spinning must have gone to sleep.
SETTLE = 0.25
# Peak memory is part of the comparison here.
MEMORY = ("attend", "language")
# Other ways to run PyTorch, beside float32 in its default layout, and the cases that they are measured in.
WAYS = (
    ("network/", "channels-last"),
    ("network/", "channels-last-bf16"),
    ("attend/p", "bf16"),
    ("recurrent/lstm-n32t64h512-train", "bf16"),
)
# Both sides are measured in bf16 too where the CPU is faster at it; without its instructions PyTorch's LSTM does not even run.
CPU = pathlib.Path("/proc/cpuinfo").read_text()
MEDIUM = "amx_bf16" in CPU or ("AuthenticAMD" in CPU and "avx512_bf16" in CPU)


class Process:
    """A case that runs once for every line that it is sent."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once(self):
        time.sleep(SETTLE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        self.process.stdin.close()
        peak = float(self.process.stdout.readline())
        self.process.wait()
        return peak


class Program:
    """A whole program, started anew each time."""

    def __init__(self, command):
        self.command = command

    def once(self):
        time.sleep(SETTLE)
        start = time.perf_counter()
        if subprocess.run(self.command, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"{self.command[0]} failed")
        return (time.perf_counter() - start) * 1e3

    def finish(self):
        return None


def programs(ours, program, peer, folder):
    """The two sides of each case that is a whole program."""
    if not (folder / "model" / "config.json").exists():
        subprocess.run([*peer, "--prepare", str(folder)], check=True)
        subprocess.run([ours, "--model", str(folder / "model"), str(folder / "resnet50.safetensors")], check=True)
    weights, photos = str(folder / "resnet50.safetensors"), sorted(map(str, (folder / "photos").glob("*.jpg")))
    for case, count in (("photos200-beam3", 200), ("cold-start", 1)):
        # Fresh values never end a sentence: both sides write twenty words.
        mine = [program, "caption", *photos[:count], "--model", str(folder / "model"), "--encoder-weights", weights]
        yield case, [mine + ["--beam", "3", "--max-words", "20"], [*peer, "--caption", weights, *photos[:count]]]


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    ours, program, python, candle, burn, out, *groups = sys.argv[1:]
    script = [python, str(pathlib.Path(__file__).with_name("peer_torch.py"))]
    torch = output([*script, "--version"]).strip()
    # Frameworks in Rust, the cases that each has, and its name.
    rust = [(peer, output([peer, "--list"]).split(), output([peer, "--version"]).strip()) for peer in (candle, burn)]

    def processes(name):
        """Ours, and each peer by its name."""
        sides = [("ours", [ours])]
        if not name.startswith("growth/"):
            sides.append((torch, script))
        ways = [way for prefix, way in WAYS if name.startswith(prefix) and (MEDIUM or "bf16" not in way)]
        sides += [(f"{torch} {way}", [*script, f"--{way}"]) for way in ways]
        if any("bf16" in label for label, _ in sides):
            sides.insert(1, ("ours in bf16", [ours, "--medium"]))
        sides += [(label, [peer]) for peer, known, label in rust if name in known]
        return [(label, Process([*command, name])) for label, command in sides]

    cases = [(*name.split("/", 1), lambda name=name: processes(name)) for name in output([ours, "--list"]).split()]
    if not groups or any(group.startswith("end") for group in groups):
        for case, commands in programs(ours, program, script, pathlib.Path(out).with_name("bench-end")):
            cases.append(("end", case, lambda commands=commands: list(zip(("ours", torch), map(Program, commands)))))
    with open(out, "a") as lines:
        for group, case, start in cases:
            if groups and not f"{group}/{case}".startswith(tuple(groups)):
                continue
            sides = start()
            for _, side in sides:
                for _ in range(WARM_UP):
                    side.once()
            rounds = [[side.once() for _, side in sides] for _ in range(PAIRS)]
            peaks = [side.finish() for _, side in sides]
            labels = [label for label, _ in sides]
            median = [statistics.median(times[side] for times in rounds) for side in range(len(sides))]
            line, rows = f"{group + '/' + case:<42} {median[0]:>9.2f} ms", []
            if len(sides) == 1:
                rows.append({"group": group, "case": case, "ours_ms": median[0]})
            for peer, label in enumerate(labels[1:], 1):
                # A peer in bf16 is measured against us in bf16, where this CPU has that.
                own = labels.index("ours in bf16") if "bf16" in label and "ours in bf16" in labels else 0
                if own == peer:
                    line += f"   ours in bf16 {median[peer]:.2f} ms"
                    continue
                ratio = statistics.median(times[peer] / times[own] for times in rounds)
                row = {"group": group, "case": case, "ours": labels[own], "ours_ms": median[own]}
                row |= {"peer": label, "peer_ms": median[peer], "ratio": ratio}
                line += f"   {label} {median[peer]:.2f} ms, {ratio:.2f}"
                if group in MEMORY:
                    row |= {"ours_mib": peaks[own], "peer_mib": peaks[peer]}
                    line += f", {peaks[own]:.0f} to {peaks[peer]:.0f} MiB"
                rows.append(row)
            lines.writelines(json.dumps(row) + "\n" for row in rows)
            print(line, flush=True)
            lines.flush()


if __name__ == "__main__":
    main()
