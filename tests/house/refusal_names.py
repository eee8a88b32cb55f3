#!/usr/bin/env python3
"""Every refusal of a ring has a name in docs/protocol.md, with the side that finds it, and a test that provokes it.

Usage: refusal_names.py ROOT. Names are string literals of small letters and underscores in shm/ and in the ring's files
of worker/doors/. Prints what is missing on either side, and ends with 1 then.
"""
import pathlib
import re
import sys

NAME = r"[a-z]+(?:_[a-z]+)*"
# Where a name of one word counts as a refusal, too; two words always do.
SAID = re.compile(
    rf'(?:refuse|refused|lied|send_refusal|count_refusal|end_ring)\((?:[^";]*,\s*)?"({NAME})"'
    rf'|return "({NAME})";|reason = "({NAME})"|[?:] "({NAME})"')
ANY = re.compile(rf'"({NAME})"')
ROW = re.compile(rf"^\| `({NAME})` \| ([ARC ]+) \| (.+) \|$")
# Literals of that shape that refuse nothing.
NOT_REFUSALS = {"ringside", "rings"}


def found_by(path, text, match):
    """A: the handshake; R: an attached ring; C: the client."""
    name = path.name
    if name.startswith("segment"):
        return "AC"
    if name.startswith("client_"):
        return "C"
    if name.startswith("worker_") or name == "attachment.cc":
        return "R"
    return "R" if re.search(r"end_ring\([^;]*$", text[: match.start()]) else "A"


def names_in_code(root):
    found = {}
    files = [*(root / "shm").glob("*.cc"), *(root / "worker/doors").glob("ring_*.cc")]
    for path in sorted([*files, root / "worker/doors/attachment.cc"]):
        # Comments quote nothing that is said.
        text = re.sub(r"//.*", lambda comment: " " * len(comment.group()), path.read_text())
        said = {match.span(match.lastindex) for match in SAID.finditer(text)}
        for match in ANY.finditer(text):
            name = match.group(1)
            if name in NOT_REFUSALS or ("_" not in name and match.span(1) not in said):
                continue
            found.setdefault(name, set()).update(found_by(path, text, match))
    return found


def names_in_docs(root):
    page = (root / "docs/protocol.md").read_text()
    section = page.split("\n## Refusals\n", 1)[1].split("\n## ", 1)[0]
    return {row[1]: set(row[2].replace(" ", "")) for row in map(ROW.match, section.splitlines()) if row}


def main():
    root = pathlib.Path(sys.argv[1])
    code = names_in_code(root)
    docs = names_in_docs(root)
    tests = "\n".join(path.read_text() for path in (root / "tests").rglob("*.cc"))
    faults = []
    for name in sorted(code.keys() | docs.keys()):
        if name not in docs:
            faults.append(f"{name}: the code says it, docs/protocol.md (Refusals) does not")
        elif name not in code:
            faults.append(f"{name}: docs/protocol.md lists it, nothing says it")
        elif code[name] != docs[name]:
            faults.append(f"{name}: docs/protocol.md says {sorted(docs[name])}, the code {sorted(code[name])}")
        if f'"{name}"' not in tests:
            faults.append(f"{name}: no test provokes it")
    client = (root / "client/cpp/ring_attachment.cc").read_text()
    not_now = re.search(r"kNotNow = \{(.*?)\};", client, re.DOTALL)[1]
    faults += [f"{name}: the client knows it, docs/protocol.md does not" for name in ANY.findall(not_now) if name not in docs]
    if len(code) < 30:
        faults.append("hardly any refusal was found: this script looks in the wrong places")
    print("\n".join(faults) if faults else f"{len(code)} refusals, each with a name, a side and a test")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
