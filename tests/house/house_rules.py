"""The rules of the house that need no compiler: who may include whom, how long a file may be, how a header starts."""

import pathlib
import re
import sys

# A room may include itself and these; docs/architecture.md has the table and the reasons.
ROOMS = {
    "base": set(),
    "proto": set(),
    "mcp": {"base"},
    "rpc": {"base", "mcp", "proto"},
    "shm": {"base"},
    "http": {"base", "mcp"},
    "plugin": {"base", "http", "mcp", "rpc", "proto"},
    "supervisor": {"base", "mcp", "http", "rpc", "proto"},
    "worker": {"base", "shm", "mcp", "http", "plugin", "rpc", "proto"},
    "client": {"base", "shm", "mcp", "http", "rpc", "proto"},
    "examples": {"base", "mcp", "http", "client"},
}
EVERYTHING = {"tests", "bench"}
MAX_LINES = 400
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
GENERATED = re.compile(r"^(contextforge|ringside|grpc|mcpgateway|cpex)/.*\.pb\.h$")


def room_of(include):
    if GENERATED.match(include):
        return "proto"
    return include.split("/", 1)[0] if "/" in include else None


def check_file(root, path):
    relative = path.relative_to(root)
    room = relative.parts[0]
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield f"{relative}: {len(lines)} lines; a file has one subject and at most {MAX_LINES}"
    if path.suffix == ".h" and "#pragma once" not in text:
        yield f"{relative}: a header starts with #pragma once"
    if room not in ROOMS:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = room_of(match.group(1))
        if target is None or (target not in ROOMS and target != "proto"):
            yield f"{relative}:{number}: includes go from the root of the repository: {match.group(1)}"
        elif target != room and target not in ROOMS[room]:
            yield f"{relative}:{number}: {room}/ may not include {target}/"


OPENING = re.compile(r"^(?:inline )?namespace\s*([\w:]*)\s*\{")
CLOSING = re.compile(r"^\}\s*// namespace")
CLASS = re.compile(r"^(?:class|struct)\s+(?:\[\[\w+\]\]\s*)?(\w+)(?:\s+final)?\s*(?::[^:;]|\{)")


def classes_of(path):
    """The qualified names of the classes that a file defines, but for those that nobody else can see."""
    names = []
    spaces = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := OPENING.match(line):
            spaces.append(match.group(1))
        elif CLOSING.match(line) and spaces:
            spaces.pop()
        elif (match := CLASS.match(line)) and "" not in spaces:
            names.append(("::".join([*spaces, match.group(1)]), number))
    return names


def check_names(root, paths):
    """Two classes of one name are one to the linker, which takes the functions of either: no compiler says so."""
    seen = {}
    for path in paths:
        for name, number in classes_of(path):
            place = f"{path.relative_to(root)}:{number}"
            if name in seen:
                yield f"{place}: {name} is defined in {seen[name]} too"
            seen.setdefault(name, place)


def main():
    root = pathlib.Path(sys.argv[1])
    sources = [
        path
        for folder in sorted(set(ROOMS) | EVERYTHING)
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in {".h", ".cc"} and "build" not in path.relative_to(root).parts
    ]
    faults = [fault for path in sources for fault in check_file(root, path)]
    faults += check_names(root, [path for path in sources if path.relative_to(root).parts[0] in ROOMS])
    print("\n".join(faults))
    print(f"{len(sources)} files looked at, {len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
