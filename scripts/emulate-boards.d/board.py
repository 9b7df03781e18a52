#!/usr/bin/env python3
"""Boots an emulated board and follows its checks: board.py NAME [--pins BASE] --log FILE --seconds N -- QEMU-ARGUMENT...

The board's console carries lines `ok ...`, `FAILED ...`, `-- ...`, which are shown, and questions:

    @ pin LINE high|low         does the line of the BCM283x GPIO block at BASE have this level?
    @ pin LINE input|output     is it driven?
    @ press LINE high|low       give the line this level, as a button would

Each is answered on the console with `yes` or why not. The board's last words are `BOARD END failures=N`.
"""

import argparse
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

GPFSEL0, GPSET0, GPCLR0, GPLEV0 = 0x00, 0x1C, 0x28, 0x34


class Pins:
    """The pins of the board, through QEMU's qtest socket."""

    def __init__(self, path, base):
        self.base = base
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")

    def command(self, text):
        self.socket.sendall(text.encode() + b"\n")
        answer = self.lines.readline().split()
        if not answer or answer[0] != "OK":
            raise OSError(f"qtest says {answer} to {text}")
        return answer[1:]

    def register(self, offset, line):
        return self.base + offset + 4 * (line // 32)

    def level(self, line):
        (word,) = self.command(f"readl {self.register(GPLEV0, line):#x}")
        return "high" if int(word, 16) >> (line % 32) & 1 else "low"

    def function(self, line):
        (word,) = self.command(f"readl {self.base + GPFSEL0 + 4 * (line // 10):#x}")
        number = int(word, 16) >> (line % 10 * 3) & 7
        return {0: "input", 1: "output"}.get(number, f"function {number}")

    def set(self, line, level):
        offset = {"high": GPSET0, "low": GPCLR0}[level]
        self.command(f"writel {self.register(offset, line):#x} {1 << (line % 32):#x}")


def answer(pins, words):
    """What to tell the board."""
    try:
        what, line, wanted = words
        line = int(line)
        if pins is None:
            return "nobody watches the pins of this board"
        if what == "press":
            pins.set(line, wanted)
            return "yes"
        found = pins.level(line) if wanted in ("high", "low") else pins.function(line)
        return "yes" if found == wanted else f"pin {line} is {found}"
    except (OSError, ValueError, KeyError) as error:
        return f"not understood: {error}"


def console(process, until):
    """Lines of the board's console, until it ends or time is up."""
    held = b""
    while time.monotonic() < until:
        ready, _, _ = select.select([process.stdout], [], [], 1)
        if not ready:
            continue
        read = os.read(process.stdout.fileno(), 65536)
        if not read:
            return
        *lines, held = (held + read).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").strip("\r\0")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("name")
    arguments.add_argument("--pins", type=lambda text: int(text, 0))
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("qemu", nargs="+")
    given = arguments.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, open(given.log, "w", encoding="utf-8") as log:
        path = os.path.join(folder, "qtest")
        command = ["qemu-system-aarch64", *given.qemu, "-display", "none", "-nodefaults", "-no-reboot"]
        command += ["-monitor", "none", "-serial", "stdio"]
        if given.pins is not None:
            command += ["-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            checks, end, pins = follow(process, given, path, log, begun)
        finally:
            process.kill()
            errors = process.communicate()[1].decode("utf-8", "replace")
    seconds = time.monotonic() - begun
    if end is None:
        tail = subprocess.run(["tail", "-n", "40", given.log], capture_output=True, text=True, check=False).stdout
        print(f"[{given.name}] the board did not finish within {given.seconds:.0f} s; its last words:\n{tail}{errors}")
        return 1
    print(f"[{given.name}] {checks} checks, {end} ({seconds:.0f} s)")
    return 0 if end == "failures=0" and checks > 0 else 1


def follow(process, given, path, log, begun):
    """Shows the checks and answers questions; returns their number and the board's last words."""
    checks, end, pins, failing = 0, None, None, False
    for line in console(process, begun + given.seconds):
        log.write(f"{time.monotonic() - begun:7.2f} {line}\n")
        log.flush()
        if line.startswith("@ "):
            if pins is None and given.pins is not None:
                pins = Pins(path, given.pins)
            process.stdin.write(answer(pins, line.split()[1:]).encode() + b"\n")
            process.stdin.flush()
            continue
        if line.startswith("BOARD END "):
            end = line.split()[2]
            break
        checks += line.startswith("ok ")
        # The words of a failed check follow it, indented.
        failing = line.startswith("FAILED ") or (failing and line.startswith("    "))
        if failing or line.startswith(("ok ", "ignored ", "-- ")):
            print(f"[{given.name}] {line}", flush=True)
    return checks, end, pins


if __name__ == "__main__":
    sys.exit(main())
